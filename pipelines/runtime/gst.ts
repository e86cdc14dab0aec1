/** Small typed helpers over GStreamer's introspected API. */
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import type GObject from 'gi://GObject?version=2.0';
import Gst from 'gi://Gst?version=1.0';

/** Larger numbers than this are GST_CLOCK_TIME_NONE, rounded to a double. */
const CLOCK_TIME_MAX = 2 ** 63;

/**
 * Starts GStreamer. A peer that closes its end of a pipe must not end the process: instantiating a GSocket makes
 * GLib ignore SIGPIPE for good, which gjs has no other way to ask for.
 */
export function initGst(): void {
  Gst.init(null);
  Gio.Socket.new(Gio.SocketFamily.IPV4, Gio.SocketType.DATAGRAM, Gio.SocketProtocol.UDP).close();
}

/** Child of a bin by name. @throws Error if there is none: a mistake in a description */
export function child(bin: Gst.Bin, name: string): Gst.Element {
  const element = bin.get_by_name(name);
  if (!element) throw new Error(`${bin.get_name() ?? 'bin'} has no element ${name}`);
  return element;
}

/** Child of a bin that is a bin. @throws Error if there is none */
export function childBin(bin: Gst.Bin, name: string): Gst.Bin {
  const element = child(bin, name);
  if (!(element instanceof Gst.Bin)) throw new Error(`${name} is no bin`);
  return element;
}

/** Builds a pipeline from text. @throws Error (GError) if the text is none */
export function parsePipeline(description: string): Gst.Pipeline {
  const pipeline = Gst.parse_launch(description);
  if (!(pipeline instanceof Gst.Pipeline)) throw new Error('the description is not that of a pipeline');
  return pipeline;
}

/** A pad that exists from the start. @throws Error if there is none */
export function staticPad(element: Gst.Element, name: string): Gst.Pad {
  const pad = element.get_static_pad(name);
  if (!pad) throw new Error(`${element.get_name() ?? 'element'} has no pad ${name}`);
  return pad;
}

/** Requests a pad. @throws Error if the element refuses */
export function requestPad(element: Gst.Element, template: string): Gst.Pad {
  const pad = element.request_pad_simple(template);
  if (!pad) throw new Error(`${element.get_name() ?? 'element'} has no pad left of ${template}`);
  return pad;
}

/** Gives a pad of a child element to its bin, as `src`. @throws Error if it cannot be */
export function ghost(bin: Gst.Bin, target: Gst.Pad): Gst.Pad {
  const pad = Gst.GhostPad.new('src', target);
  if (!bin.add_pad(pad)) throw new Error(`${bin.get_name() ?? 'bin'} cannot have a ghost pad`);
  return pad;
}

/**
 * All elements of a bin and of the bins in it. By way of GstChildProxy: gjs can neither read a GstIterator's
 * values nor the field `children`.
 */
export function allElements(bin: Gst.Bin): Gst.Element[] {
  const elements: Gst.Element[] = [];
  for (let index = 0; index < bin.get_children_count(); index++) {
    const element = bin.get_child_by_index(index);
    if (!(element instanceof Gst.Element)) continue;
    elements.push(element);
    if (element instanceof Gst.Bin) elements.push(...allElements(element));
  }
  return elements;
}

/** Sets properties by their GObject names. Enums are numbers, 64 bit values are numbers below 2^53. */
export function setProperties(object: GObject.Object, values: Readonly<Record<string, unknown>>): void {
  const settable = object as unknown as { set_property(name: string, value: unknown): void };
  for (const [name, value] of Object.entries(values)) settable.set_property(name, value);
}

/** Sets properties from text, as gst-launch does: for enums by nick, caps and structures. */
export function setFromText(object: GObject.Object, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) Gst.util_set_object_arg(object, name, value);
}

/** Value of a property. */
export function property(object: GObject.Object, name: string): unknown {
  return (object as unknown as Record<string, unknown>)[name.replaceAll('-', '_')];
}

/** Emits an action signal and hands back what it returns. */
export function action(object: GObject.Object, signal: string, ...args: unknown[]): unknown {
  const emitter = object as unknown as { emit(name: string, ...values: unknown[]): unknown };
  return emitter.emit(signal, ...args);
}

/** A number out of a structure; undefined if it is not there or is GST_CLOCK_TIME_NONE. */
export function numberField(structure: Gst.Structure, name: string): number | undefined {
  const value = structure.get_value(name);
  return typeof value === 'number' && value < CLOCK_TIME_MAX ? value : undefined;
}

/** A 64 bit number out of a structure, exact (a JavaScript number would be rounded). */
export function bigField(structure: Gst.Structure, name: string): bigint | undefined {
  const digits = new RegExp(`(?:^|[ ,])${name}=\\(guint64\\)(\\d+)`).exec(structure.to_string())?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}

/**
 * Runs `callback` every `ms` until it returns false or the returned function is called. One that throws is logged
 * and called again: gjs would silently end the timer.
 */
export function every(ms: number, callback: () => unknown): () => void {
  let id: number | undefined = GLib.timeout_add(GLib.PRIORITY_DEFAULT, ms, () => {
    if (guarded(callback) !== false) return GLib.SOURCE_CONTINUE;
    id = undefined;
    return GLib.SOURCE_REMOVE;
  });
  return () => {
    if (id !== undefined) GLib.source_remove(id);
    id = undefined;
  };
}

/** Calls back with every message of a pipeline's bus; a callback that throws is logged. */
export function watchBus(pipeline: Gst.Pipeline, callback: (message: Gst.Message) => void): void {
  pipeline.get_bus().add_watch(GLib.PRIORITY_DEFAULT, (_, message) => {
    guarded(() => callback(message));
    return GLib.SOURCE_CONTINUE;
  });
}

function guarded(callback: () => unknown): unknown {
  try {
    return callback();
  } catch (error) {
    printerr(error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error));
    return undefined;
  }
}

/** Runs `callback` once after `ms`, unless the returned function is called before. */
export function after(ms: number, callback: () => void): () => void {
  return every(ms, () => {
    callback();
    return false;
  });
}

/** Has an encoder make its next frame a keyframe, with all headers. */
export function forceKeyFrame(encoder: Gst.Element): void {
  const request =
    'GstForceKeyUnit, running-time=(guint64)18446744073709551615, all-headers=(boolean)true, count=(uint)0';
  const event = Gst.Event.new_custom(Gst.EventType.CUSTOM_UPSTREAM, Gst.Structure.new_from_string(request));
  staticPad(encoder, 'src').send_event(event);
}

/** Milliseconds of a clock that never jumps. */
export function monotonicMs(): number {
  return GLib.get_monotonic_time() / 1000;
}

/** Running time of the pipeline's clock, ns; 0 before it plays. */
export function runningTime(element: Gst.Element): number {
  const clock = element.get_clock();
  return clock ? Math.max(0, Number(clock.get_time()) - Number(element.get_base_time())) : 0;
}
