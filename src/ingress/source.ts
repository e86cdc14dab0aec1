/** What a run takes its media from: the bytes of an input, or the tracks of a publisher in a room. */
import type { IngressInit } from '../../pipelines/shared/ingress-protocol.ts';
import type {
  Input,
  InputAudio,
  InputConnection,
  InputEnd,
  InputMeasures,
  InputVideo,
} from './inputs/types.ts';
import type { IngressPipeline } from './pipeline.ts';

/** What of a pipeline a run and its source use; a run owns it. */
export type RunPipeline = Pick<
  IngressPipeline,
  | 'input'
  | 'init'
  | 'bind'
  | 'connect'
  | 'bindInput'
  | 'connectInput'
  | 'start'
  | 'setLayerSizes'
  | 'keyFrame'
  | 'onEvent'
  | 'onExit'
  | 'stop'
  | 'kill'
>;

/** A connected source. It belongs to one run, which closes it. */
export interface RunSource {
  readonly video: InputVideo | undefined;
  readonly audio: InputAudio | undefined;
  readonly pacing: 'arrival' | 'timestamps';
  /** How the program reads it. */
  readonly input: IngressInit['input'];
  /** Between the program's `init` and its `start`. */
  attach(pipeline: RunPipeline): Promise<void>;
  /** After `start`: lets the media flow. */
  flow(pipeline: RunPipeline): Promise<void>;
  measures(): InputMeasures;
  /** When anything last came of it (performance.now(), ms). */
  readonly heardAt: number;
  /** Never rejects. */
  readonly ended: Promise<InputEnd>;
  close(): Promise<void>;
}

/** Connects a run's source, again and again. @throws InputError; the signal's reason when aborted */
export type ConnectSource = (signal: AbortSignal) => Promise<RunSource>;

/** The sources of an input of bytes. */
export function byteSources(input: Input): ConnectSource {
  return async (signal) => new ByteSource(await input.connect(signal));
}

class ByteSource implements RunSource {
  readonly #connection: InputConnection;
  #heardAt = performance.now();

  constructor(connection: InputConnection) {
    this.#connection = connection;
  }

  get video(): InputVideo | undefined {
    return this.#connection.video;
  }

  get audio(): InputAudio | undefined {
    return this.#connection.audio;
  }

  get pacing(): 'arrival' | 'timestamps' {
    return this.#connection.pacing;
  }

  get input(): IngressInit['input'] {
    const { container, video, audio } = this.#connection;
    return {
      type: 'pipe',
      container,
      ...(video && {
        video: {
          codec: video.codec,
          rotation: video.rotation,
          ...(video.framerate !== undefined && { framerate: video.framerate }),
        },
      }),
      ...(audio && { audio: { codec: audio.carriedAs ?? audio.codec } }),
    };
  }

  get heardAt(): number {
    return this.#heardAt;
  }

  get ended(): Promise<InputEnd> {
    return this.#connection.ended;
  }

  async attach(): Promise<void> {
    // Its bytes come by the pipe that every program has.
  }

  async flow(pipeline: RunPipeline): Promise<void> {
    const { data } = this.#connection;
    // How it ended is told by `ended`; a stream without a listener would end the process instead.
    data.on('error', () => undefined);
    data.pipe(pipeline.input);
    data.on('data', () => (this.#heardAt = performance.now()));
  }

  measures(): InputMeasures {
    return this.#connection.measures();
  }

  async close(): Promise<void> {
    this.#connection.data.unpipe();
    await this.#connection.close();
  }
}
