import { describe, expect, test } from 'vitest'
import { RecordingContext } from '../../src/loading/load-context.ts'

const contextOf = (facts?: object) =>
  new RecordingContext<string>('k', false, facts && { value: 'stale', facts })

describe('the context of a load', () => {
  test('has the key, the stale value and its validators', () => {
    const first = new RecordingContext('k', true, undefined)
    expect([first.key, first.background, first.stale, first.etag, first.lastModified]).toEqual([
      'k',
      true,
      undefined,
      undefined,
      undefined,
    ])
    const { background, stale, etag, lastModified } = contextOf({
      etag: '"1"',
      lastModified: 'now',
    })
    expect([background, stale, etag, lastModified]).toEqual([false, 'stale', '"1"', 'now'])
  })

  test('records nothing by itself', () => {
    const { skipMs, isPrivate, ttl, lateTags, validators, parts, keptParts } = contextOf()
    expect({ skipMs, isPrivate, ttl, lateTags, validators, parts, keptParts }).toEqual({
      skipMs: undefined,
      isPrivate: false,
      ttl: undefined,
      lateTags: [],
      validators: {},
      parts: [],
      keptParts: [],
    })
  })

  test.each([
    [undefined, 1_000, false],
    [{}, 1_000, false],
    [{ share: false }, 1_000, true],
    [{ share: true, for: 1.5 }, 2, false],
  ] as const)('records that the value is not stored: %o', (options, skipMs, isPrivate) => {
    const context = contextOf()
    context.skip(options)
    expect([context.skipMs, context.isPrivate]).toEqual([skipMs, isPrivate])
  })

  test('records the last ttl and all tags', () => {
    const context = contextOf()
    context.setTtl('1m')
    context.setTtl('2m')
    context.addTags('a')
    context.addTags('b', 'c')
    expect([context.ttl, context.lateTags]).toEqual(['2m', ['a', 'b', 'c']])
  })

  test.each([{}, { etag: '"1"' }, { lastModified: 'now' }, { etag: '"1"', lastModified: 'now' }])(
    'records the validators %o',
    (validators) => {
      const context = contextOf()
      context.setValidators({ etag: 'earlier' })
      context.setValidators(validators)
      // Not with `undefined` members, which a codec would store.
      expect(context.validators).toStrictEqual(validators)
    },
  )

  test('gives each part a key of its own', () => {
    const context = contextOf()
    const keys = ['body', 'body'].map((name) => context.addPart(name, '<main>'))
    expect(keys).toEqual([expect.stringMatching(/^k:body:[\w-]{8,}$/), expect.any(String)])
    expect(keys[0]).not.toBe(keys[1])
    expect(context.parts).toEqual(keys.map((name) => ({ name, value: '<main>' })))
    expect(() => context.addPart('body', undefined)).toThrow('addPart: undefined cannot be cached')
    expect(context.parts).toHaveLength(2)
  })

  test('keeps the tags, validators and parts of a stale value that was not modified', () => {
    const context = contextOf({
      etag: '"1"',
      lastModified: 'now',
      tags: { a: 'version', b: 'version' },
      parts: ['part'],
    })
    expect(context.notModified()).toBe('stale')
    expect(context.validators).toEqual({ etag: '"1"', lastModified: 'now' })
    expect(context.lateTags).toEqual(['a', 'b'])
    expect(context.keptParts).toEqual(['part'])
  })

  test.each([
    ['one validator', { etag: '"1"' }],
    ['the other validator', { lastModified: 'now' }],
    ['no facts but its times', { freshUntil: 1 }],
  ])('keeps what a stale value has: %s', (_, facts) => {
    const context = contextOf(facts)
    context.notModified()
    const { freshUntil, ...validators } = facts as { freshUntil?: number }
    expect(context.validators).toStrictEqual(validators)
    expect([context.lateTags, context.keptParts]).toEqual([[], []])
  })

  test('keeps a stale value without facts', () => {
    expect(new RecordingContext('k', false, { value: 'stale' }).notModified()).toBe('stale')
  })

  test('has no value that could be unmodified before the first load', () => {
    expect(() => contextOf().notModified()).toThrow('notModified() needs a stale value.')
  })
})

describe('the signal of a load', () => {
  test('is one, and aborts for the first reason', () => {
    const context = contextOf()
    const { signal } = context
    expect([context.signal === signal, signal.aborted]).toEqual([true, false])
    context.abort('first')
    context.abort('second')
    expect([signal.aborted, signal.reason]).toEqual([true, 'first'])
  })

  test('has aborted if it is used only afterwards', () => {
    const context = contextOf()
    context.abort('first')
    context.abort('second')
    expect([context.signal.aborted, context.signal.reason]).toEqual([true, 'first'])
  })
})
