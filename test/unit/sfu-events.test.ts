import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { SfuEvents } from '../../src/sfu/events.ts';
import type { SfuRoom } from '../../src/sfu/types.ts';

// Events carry rooms by reference only.
const room = (name: string): SfuRoom => ({ name }) as SfuRoom;

describe('SFU events', () => {
  it('reach every listener in the same order, also those a listener causes', () => {
    const events = new SfuEvents(pino({ level: 'silent' }));
    const [a, b] = [room('a'), room('b')];
    const first: string[] = [];
    const second: string[] = [];
    events.on(({ type }) => {
      first.push(type);
      if (type === 'room_started') events.emit({ type: 'room_finished', room: a });
    });
    events.on(({ type }) => second.push(type));
    events.emit({ type: 'room_started', room: a });
    events.emit({ type: 'room_updated', room: b });
    expect(first).toEqual(['room_started', 'room_finished', 'room_updated']);
    expect(second).toEqual(first);
  });

  it('go to the listeners of their room, and survive one that throws', () => {
    const lines: string[] = [];
    const events = new SfuEvents(pino({}, { write: (line: string) => void lines.push(line) }));
    const [a, b] = [room('a'), room('b')];
    const heard: string[] = [];
    const off = events.onRoom(a, () => {
      throw new Error('bad');
    });
    events.onRoom(a, ({ type }) => heard.push(`a ${type}`));
    events.onRoom(b, ({ type }) => heard.push(`b ${type}`));
    events.emit({ type: 'room_updated', room: a });
    off();
    events.emit({ type: 'room_finished', room: b });
    expect(heard).toEqual(['a room_updated', 'b room_finished']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('bad');
  });
});
