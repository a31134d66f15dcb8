import { describe, expect, test } from 'vitest'
import type { SeenSession } from '../../src/users/session-users.ts'
import {
  BaselineField,
  baselineOf,
  carryBaseline,
  SessionBaseline,
  takeBaseline,
} from '../../src/writing/session-baseline.ts'

const seen = (key: string): SeenSession => ({
  key,
  stored: { text: { body: `{"of":"${key}"}`, cookie: undefined } } as never,
  snapshot: {} as never,
  isOld: false,
})

describe('the baseline of a session', () => {
  test('contains what was read, and nothing for a session that is new', () => {
    const read = seen('k')
    const ofNew = { created: 5, key: undefined, seen: undefined, view: undefined, hasEnded: false }
    expect({ ...new SessionBaseline(5) }).toEqual(ofNew)
    const ofRead = { ...ofNew, key: 'k', seen: read, view: read.stored.text }
    expect({ ...new SessionBaseline(5, 'k', read) }).toEqual(ofRead)
  })

  test('is that of its first key, and of the one that a rotation has given it', () => {
    const keys = ['first', 'rotated', 'other']
    const isOf = (baseline: SessionBaseline) => keys.map((key) => baseline.isOf(key))
    expect(isOf(new SessionBaseline(1))).toEqual([true, true, true])
    expect(isOf(new SessionBaseline(1, 'first', seen('rotated')))).toEqual([true, true, false])
    expect(isOf(new SessionBaseline(1, 'first'))).toEqual([true, false, false])
  })

  test('keeps its first key', () => {
    const baseline = new SessionBaseline(1)
    const [a, b] = [seen('a'), seen('b')]
    baseline.update(a, a.stored.text)
    expect([baseline.key, baseline.seen, baseline.view]).toEqual(['a', a, a.stored.text])
    baseline.update(b, a.stored.text)
    expect([baseline.key, baseline.seen, baseline.view]).toEqual(['a', b, a.stored.text])
    baseline.update(b, b.stored.text)
    expect(baseline.view).toBe(b.stored.text)
  })
})

describe('a session', () => {
  const [owner, other] = [{}, {}]
  const baseline = new SessionBaseline(1, 'k', seen('k'))

  test('has the baseline of one owner', () => {
    const session = {}
    expect(baselineOf(session, owner)).toBeUndefined()
    BaselineField.set(session, owner, baseline)
    expect([baselineOf(session, owner), baselineOf(session, other)]).toEqual([baseline, undefined])
    const later = new SessionBaseline(2)
    BaselineField.set(session, other, later)
    expect(baselineOf(session, other)).toBe(later)
    expect(baselineOf(session, owner)).toBeUndefined()
    expect(session).toEqual({})
  })

  test('that is a copy has a copy of the baseline that its original carried', () => {
    const original = {}
    carryBaseline(original, baseline)
    const copy = { ...original }
    const own = baselineOf(copy, owner)
    expect(own).toEqual(baseline)
    expect(own).not.toBe(baseline)
    expect(own?.clone()).not.toBe(own)
    expect(baselineOf(copy, owner)).toBe(own)
    expect(JSON.stringify(copy)).toBe('{}')
    expect(baselineOf({ '~': 'not a baseline' }, owner)).toBeUndefined()
  })

  test('gives the baseline that it carries away', () => {
    const session = {}
    carryBaseline(session, baseline)
    expect(takeBaseline(session, owner)).toBe(baseline)
    expect('~' in session).toBe(false)
    expect(takeBaseline(session, owner)).toBeUndefined()
    BaselineField.set(session, owner, baseline)
    expect(takeBaseline(session, owner)).toBe(baseline)
    const carrying = Object.assign(session, { '~': 'not a baseline' })
    expect(takeBaseline(carrying, owner)).toBe(baseline)
    expect('~' in session).toBe(false)
  })
})
