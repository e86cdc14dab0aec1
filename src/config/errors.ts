/** Thrown when the configuration cannot be used; says everything that is wrong with it at once. Holds no secret. */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    const lines = problems.map((problem) => `  - ${problem}`);
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super([`The configuration has ${count}:`, ...lines].join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
