import { describe, expect, test } from 'vitest'
import { findViolation } from '../scripts/soak/histories/check.mjs'

type Seen = readonly [
  operation: string,
  args: readonly unknown[],
  start: number,
  end: number | null,
  result: unknown,
]

/** Lines of one key, each of another process. */
function lines(history: readonly Seen[], key = 'a'): string[] {
  return history.map(([operation, args, start, end, result], index) =>
    JSON.stringify({
      process: index,
      key,
      operation,
      args,
      start: String(start),
      end: end === null ? null : String(end),
      result,
    }),
  )
}

const explained: Record<string, readonly Seen[]> = {
  'calls one after the other': [
    ['get', [], 0, 1, null],
    ['set', ['x'], 2, 3, null],
    ['get', [], 4, 5, 'x'],
    ['delete', [], 6, 7, true],
    ['delete', [], 8, 9, false],
  ],
  'a read during a write sees the old or the new item': [
    ['set', ['x'], 0, 1, null],
    ['set', ['y'], 2, 9, null],
    ['get', [], 3, 4, 'x'],
    ['get', [], 5, 6, 'y'],
  ],
  'one of two adds at the same time succeeds': [
    ['add', ['x'], 0, 5, false],
    ['add', ['y'], 1, 6, true],
    ['get', [], 7, 8, 'y'],
  ],
  'a call without a reply has taken effect later': [
    ['set', ['x'], 0, null, null],
    ['get', [], 1, 2, null],
    ['get', [], 3, 4, 'x'],
  ],
  'a call without a reply has never taken effect': [
    ['set', ['x'], 0, null, null],
    ['get', [], 1, 2, null],
  ],
  'increments and a delete at the same time': [
    ['increment', [1], 0, 9, 1],
    ['increment', [10], 0, 9, 10],
    ['delete', [], 0, 9, true],
    ['get', [], 10, 11, '1'],
  ],
}

const impossible: Record<string, readonly Seen[]> = {
  'a read of what was replaced before': [
    ['set', ['x'], 0, 1, null],
    ['set', ['y'], 2, 3, null],
    ['get', [], 4, 5, 'x'],
  ],
  'a second read that goes back': [
    ['set', ['x'], 0, 1, null],
    ['set', ['y'], 2, 9, null],
    ['get', [], 3, 4, 'y'],
    ['get', [], 5, 6, 'x'],
  ],
  'two adds that succeed': [
    ['add', ['x'], 0, 5, true],
    ['add', ['y'], 1, 6, true],
  ],
  'two compareAndSet of the same item that succeed': [
    ['set', ['x'], 0, 1, null],
    ['compareAndSet', ['x', 'y'], 2, 9, true],
    ['compareAndSet', ['x', 'z'], 3, 8, true],
  ],
  'a lost increment': [
    ['increment', [1], 0, 5, 1],
    ['increment', [1], 1, 6, 1],
  ],
  'a call without a reply that has taken effect twice': [
    ['increment', [1], 0, null, null],
    ['get', [], 1, 2, '2'],
  ],
  'an item that nobody has stored': [['get', [], 0, 1, 'x']],
}

describe('an order of the calls', () => {
  test.each(Object.entries(explained))('exists: %s', (_name, history) => {
    expect(findViolation(lines(history))).toBeUndefined()
  })

  test.each(Object.entries(impossible))('does not exist: %s', (_name, history) => {
    expect(findViolation(lines(history))).toMatchObject({ key: 'a' })
  })

  test('is looked for in each key alone', () => {
    const [sound, wrong] = [explained['calls one after the other'], impossible['a lost increment']]
    const both = [...lines(sound ?? [], 'a'), ...lines(wrong ?? [], 'b')]
    expect(findViolation(both)).toMatchObject({ key: 'b' })
  })

  test('is found among many calls without a reply', () => {
    const lost = Array.from(
      { length: 12 },
      (_, index): Seen => ['set', [`${index}`], 0, null, null],
    )
    expect(findViolation(lines([...lost, ['get', [], 1, 2, '7']]))).toBeUndefined()
    expect(findViolation(lines([...lost, ['get', [], 1, 2, 'x']]))).toMatchObject({ key: 'a' })
  })
})
