import { describe, expect, test } from 'vitest'
import type { EntryFacts } from '../../src/entry.ts'
import { isInProgress, staleMsOf, tagsOf } from '../../src/freshness/freshness.ts'
import { TagHints } from '../../src/freshness/tag-hints.ts'
import type { BackendTime } from '../../src/time/backend-time.ts'
import { Mark } from '../../src/values/mark.ts'

const now = 1_000_000
const id = (time: number) => `${time.toString(36)}-random`
/** A version whose parts were replaced at these times. */
const version = (hard: number, soft = hard) => `${id(hard)}.${id(soft)}`

describe('how long an entry has been stale', () => {
  const staleMs = (facts: EntryFacts | undefined, versions: Record<string, string> = {}) =>
    staleMsOf(facts, new Map(Object.entries(versions)), now)

  const cases: readonly [string, EntryFacts | undefined, number | undefined][] = [
    ['without facts', undefined, -Infinity],
    ['without a time', { id: 'x' }, -Infinity],
    ['that is fresh for 5 ms', { freshUntil: now + 5 }, -5],
    ['that was fresh until now', { freshUntil: now }, 0],
    ['that was fresh 5 ms ago', { freshUntil: now - 5, expiresAt: now + 1 }, 5],
    ['that expires now', { freshUntil: now + 5, expiresAt: now }, undefined],
    ['that expires later', { freshUntil: now + 5, expiresAt: now + 1 }, -5],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(staleMs(facts)).toBe(expected)
  })

  test('with tags whose versions are the current ones', () => {
    const tags = { a: version(1), b: version(2) }
    expect(staleMs({ freshUntil: now + 5, tags }, tags)).toBe(-5)
    expect(staleMs({ freshUntil: now - 5, tags }, tags)).toBe(5)
    expect(staleMs({ tags }, tags)).toBe(-Infinity)
  })

  test('with a tag that is invalid or has no version, it does not exist', () => {
    const tags = { a: version(1), b: version(2) }
    expect(staleMs({ tags }, { ...tags, b: version(now) })).toBeUndefined()
    expect(staleMs({ tags }, { a: version(1) })).toBeUndefined()
  })

  test('with tags that were made stale, since the first of them', () => {
    const tags = { a: version(1), b: version(2), c: version(3) }
    const current = { ...tags, a: version(1, now - 20), b: version(2, now - 30) }
    expect(staleMs({ tags }, current)).toBe(30)
    expect(staleMs({ tags, freshUntil: now - 40 }, current)).toBe(40)
    expect(staleMs({ tags, freshUntil: now + 40 }, current)).toBe(30)
  })

  test('with a tag that was made stale by a clock that is ahead, since now', () => {
    const tags = { a: version(1) }
    expect(staleMs({ tags, freshUntil: now + 40 }, { a: version(1, now + 9) })).toBe(0)
  })
})

test('the tags of an entry', () => {
  expect(tagsOf({ tags: { a: '1', b: '2' } })).toEqual(['a', 'b'])
  expect([tagsOf({ id: 'x' }), tagsOf(undefined)]).toEqual([[], []])
})

describe('the change of a mark', () => {
  const timeAt = (estimate: () => number) =>
    ({ estimateOrThrow: async () => estimate() }) as unknown as BackendTime
  const mark = (end?: number) => new Mark('change', 'token', 0, 10, end)

  test.each([
    [now - 1, false],
    [now, false],
    [now + 1, true],
    [undefined, true],
  ])('that ends at %d is in progress: %s', async (end, isExpected) => {
    expect(
      await isInProgress(
        mark(end),
        timeAt(() => now),
      ),
    ).toBe(isExpected)
  })

  test('counts as one in progress if the time is not known', async () => {
    const unknown = timeAt(() => {
      throw new Error('no reply')
    })
    expect(await isInProgress(mark(now - 1), unknown)).toBe(true)
  })
})

test('entries with the same tags have one list of them', () => {
  const hints = new TagHints()
  expect([hints.isEmpty, hints.of('a')]).toEqual([true, undefined])
  hints.set('a', ['t', 'u'])
  hints.set('b', ['t', 'u'])
  hints.set('c', ['u'])
  expect(hints.isEmpty).toBe(false)
  expect(hints.of('a')).toEqual(['t', 'u'])
  expect(hints.of('b')).toBe(hints.of('a'))
  expect(hints.of('c')).toEqual(['u'])
})
