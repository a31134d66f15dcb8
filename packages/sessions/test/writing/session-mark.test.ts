import { describe, expect, test } from 'vitest'
import type { SeenSession } from '../../src/users/session-users.ts'
import {
  carryMark,
  MarkedObject,
  markOf,
  SessionMark,
  takeMark,
} from '../../src/writing/session-mark.ts'

const seen = (key: string): SeenSession => ({
  key,
  stored: { text: { body: `{"of":"${key}"}`, cookie: undefined, repeatsExpiry: false } } as never,
  snapshot: {} as never,
  isOld: false,
})

describe('the mark of a session', () => {
  test('contains what was read, and nothing for a session that is new', () => {
    const read = seen('k')
    const ofNew = { created: 5, key: undefined, seen: undefined, view: undefined, hasEnded: false }
    expect({ ...new SessionMark(5) }).toEqual(ofNew)
    const ofRead = { ...ofNew, key: 'k', seen: read, view: read.stored.text }
    expect({ ...new SessionMark(5, 'k', read) }).toEqual(ofRead)
  })

  test('is that of its first key, and of the one that a rotation has given it', () => {
    const keys = ['first', 'rotated', 'other']
    const isOf = (mark: SessionMark) => keys.map((key) => mark.isOf(key))
    expect(isOf(new SessionMark(1))).toEqual([true, true, true])
    expect(isOf(new SessionMark(1, 'first', seen('rotated')))).toEqual([true, true, false])
    expect(isOf(new SessionMark(1, 'first'))).toEqual([true, false, false])
  })

  test('keeps its first key', () => {
    const mark = new SessionMark(1)
    const [a, b] = [seen('a'), seen('b')]
    mark.update(a, a.stored.text)
    expect([mark.key, mark.seen, mark.view]).toEqual(['a', a, a.stored.text])
    mark.update(b, a.stored.text)
    expect([mark.key, mark.seen, mark.view]).toEqual(['a', b, a.stored.text])
    mark.update(b, b.stored.text)
    expect(mark.view).toBe(b.stored.text)
  })
})

describe('a session', () => {
  const [owner, other] = [{}, {}]
  const mark = new SessionMark(1, 'k', seen('k'))

  test('has the mark of one owner', () => {
    const session = {}
    expect(markOf(session, owner)).toBeUndefined()
    MarkedObject.set(session, owner, mark)
    expect([markOf(session, owner), markOf(session, other)]).toEqual([mark, undefined])
    const later = new SessionMark(2)
    MarkedObject.set(session, other, later)
    expect(markOf(session, other)).toBe(later)
    expect(markOf(session, owner)).toBeUndefined()
    expect(session).toEqual({})
  })

  test('that is a copy has a copy of the mark that its original carried', () => {
    const original = {}
    carryMark(original, mark)
    const copy = { ...original }
    const own = markOf(copy, owner)
    expect(own).toEqual(mark)
    expect(own).not.toBe(mark)
    expect(own?.clone()).not.toBe(own)
    expect(markOf(copy, owner)).toBe(own)
    expect(JSON.stringify(copy)).toBe('{}')
    expect(markOf({ '~': 'not a mark' }, owner)).toBeUndefined()
  })

  test('gives the mark that it carries away', () => {
    const session = {}
    carryMark(session, mark)
    expect(takeMark(session, owner)).toBe(mark)
    expect('~' in session).toBe(false)
    expect(takeMark(session, owner)).toBeUndefined()
    MarkedObject.set(session, owner, mark)
    expect(takeMark(session, owner)).toBe(mark)
    const marked = Object.assign(session, { '~': 'not a mark' })
    expect(takeMark(marked, owner)).toBe(mark)
    expect('~' in session).toBe(false)
  })
})
