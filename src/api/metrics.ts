/** A few numbers in Prometheus's text format; https://prometheus.io/docs/instrumenting/exposition_formats/. */

import { withDeadline } from './deadline.ts';

export type Labels = Readonly<Record<string, string>>;

/** Seconds; an API call that takes longer than the last is counted in +Inf alone. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Metric {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  lines: () => string[] | Promise<string[]>;
}

/** What a gauge shows. */
export type Reading = number | readonly { labels: Labels; value: number }[];

/** What is read from elsewhere has this long, ms. */
const READ_MS = 2_000;

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function series(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}`;
}

/** What is measured, and the page that shows it. */
export class Metrics {
  readonly #metrics = new Map<string, Metric>();

  /** @returns adds to the counter. */
  counter(name: string, help: string): (labels?: Labels, by?: number) => void {
    const values = new Map<string, { labels: Labels; value: number }>();
    this.#add({
      name,
      help,
      type: 'counter',
      lines: () => [...values.values()].map(({ labels, value }) => series(name, labels, value)),
    });
    return (labels = {}, by = 1) => {
      const key = JSON.stringify(labels);
      const entry = values.get(key) ?? { labels, value: 0 };
      entry.value += by;
      values.set(key, entry);
    };
  }

  /** @param read called for each page; what it throws, or an answer that is late, leaves the gauge out. */
  gauge(name: string, help: string, read: () => Reading | Promise<Reading>): void {
    this.#add({
      name,
      help,
      type: 'gauge',
      lines: async () => {
        const values = await withDeadline(name, Promise.resolve(read()), undefined, READ_MS);
        if (typeof values === 'number') return [series(name, {}, values)];
        return values.map(({ labels, value }) => series(name, labels, value));
      },
    });
  }

  /** @returns notes one duration, in seconds. */
  histogram(name: string, help: string): (labels: Labels, seconds: number) => void {
    const values = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>();
    this.#add({
      name,
      help,
      type: 'histogram',
      lines: () =>
        [...values.values()].flatMap(({ labels, counts, sum, count }) => [
          ...BUCKETS.map((le, index) =>
            series(`${name}_bucket`, { ...labels, le: String(le) }, counts[index] ?? 0),
          ),
          series(`${name}_bucket`, { ...labels, le: '+Inf' }, count),
          series(`${name}_sum`, labels, sum),
          series(`${name}_count`, labels, count),
        ]),
    });
    return (labels, seconds) => {
      const key = JSON.stringify(labels);
      const entry = values.get(key) ?? { labels, counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
      entry.counts = entry.counts.map((n, index) => (seconds <= (BUCKETS[index] ?? 0) ? n + 1 : n));
      entry.sum += seconds;
      entry.count += 1;
      values.set(key, entry);
    };
  }

  /** The page. */
  async text(): Promise<string> {
    const parts = await Promise.allSettled(
      [...this.#metrics.values()].map(async ({ name, help, type, lines }) =>
        [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...(await lines())].join('\n'),
      ),
    );
    // A gauge that cannot be read now does not cost the others.
    return parts.map((part) => (part.status === 'fulfilled' ? `${part.value}\n` : '')).join('');
  }

  #add(metric: Metric): void {
    if (this.#metrics.has(metric.name)) throw new RangeError(`metric ${metric.name} exists already`);
    this.#metrics.set(metric.name, metric);
  }
}

/** Memory and processor time of this process. */
export function processMetrics(metrics: Metrics): void {
  metrics.gauge('process_resident_memory_bytes', 'Resident memory of the Node process.', () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge('process_cpu_seconds_total', 'User and system time of the Node process.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  metrics.gauge(
    'process_start_time_seconds',
    'Start of the process, seconds since the epoch.',
    () => Date.now() / 1000 - process.uptime(),
  );
}
