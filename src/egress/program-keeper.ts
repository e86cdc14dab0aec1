/** What an egress records with, as its tracks are: decided at its start, and anew when they no longer fit. */
import type { Logger } from 'pino';
import { asRequested } from './added-outputs.ts';
import type { Stage } from './composition/stage.ts';
import type { EgressPlan } from './plan/types.ts';
import { chooseProgram } from './program.ts';
import type { Program } from './program.ts';
import type { WantedTrack } from './room/selection.ts';

export class ProgramKeeper {
  readonly #plan: EgressPlan;
  readonly #stage: Stage;
  readonly #logger: Logger;
  #program: Program | undefined;

  constructor(plan: EgressPlan, stage: Stage, logger: Logger) {
    this.#plan = plan;
    this.#stage = stage;
    this.#logger = logger;
  }

  /** @throws EgressError when a codec cannot be read, or not put into what was asked for */
  choose(wanted: readonly WantedTrack[]): Program {
    const mimeType = (kind: 'audio' | 'video') =>
      wanted.find(({ track }) => track.kind === kind)?.track.mimeType;
    const asked = asRequested(this.#plan);
    const pictures = wanted.filter(({ track }) => track.kind === 'video').length;
    // Several are shown side by side, also where the source has one.
    if (pictures > 1 && asked.source.type !== 'room') this.#stage.setLayout('grid');
    const plan: EgressPlan = pictures > 1 ? { ...asked, choice: { program: 'composite' } } : asked;
    const program = chooseProgram(plan, mimeType('video'), mimeType('audio'));
    this.#logger.info({ program: program.program, reason: program.reason }, 'program chosen');
    this.#program = program;
    return program;
  }

  /** Whether a picture that was copied has come back in a codec that cannot be, or got company. */
  mustEncode(wanted: readonly WantedTrack[]): boolean {
    const { program, container } = this.#program ?? {};
    const [video, ...others] = wanted.filter(({ track }) => track.kind === 'video');
    const isOther = video !== undefined && video.track.mimeType.toLowerCase() !== 'video/h264';
    return program === 'passthrough' && container === 'mpegts' && (isOther || others.length > 0);
  }
}
