import { describe, expect, test } from 'vitest'
import type { Headers } from '../../src/headers/header-list.ts'
import {
  directivesOf,
  explicitLifetime,
  forbidsStale,
  heuristicLifetime,
  initialAge,
} from '../../src/policy/freshness.ts'

const now = Date.parse('2026-03-04T05:06:07Z')
/** A date so many seconds from now. */
const at = (seconds: number) => new Date(now + 1_000 * seconds).toUTCString()
const of = (headers: Headers, targeted: string[] = []) => directivesOf(headers, targeted)

describe('the stated lifetime', () => {
  const cases: readonly [string, Headers, number | undefined][] = [
    ['of s-maxage before max-age', { 'cache-control': 's-maxage=7, max-age=9' }, 7],
    ['of max-age before Expires', { 'cache-control': 'max-age=9', expires: at(99) }, 9],
    ['of Expires since Date', { expires: at(30), date: at(-10) }, 40],
    ['of Expires without Date', { expires: at(30) }, 30],
    ['of an Expires in the past', { expires: at(-30) }, 0],
    ['of an invalid Expires', { expires: '0' }, 0],
    ['of two Expires', { expires: [at(30), at(30)] }, 0],
    ['of none', { date: at(0) }, undefined],
  ]
  test.each(cases)('%s', (_, headers, seconds) => {
    expect(explicitLifetime(headers, of(headers), now)).toBe(seconds)
  })

  test.each([
    ['Wed, 31 Feb 2100 00:00:00 GMT', 0],
    ['Fri, 00 Jan 2100 00:00:00 GMT', 0],
    ['Fri, 01 Jan 2100 24:00:00 GMT', 0],
    ['Fri, 01 Jan 2100 00:60:00 GMT', 0],
    ['Fri, 01 Jan 2100 00:00:61 GMT', 0],
    ['Fri Jan 32 00:00:00 2100', 0],
    ['Fri, 31 Dec 2100 23:59:60 GMT', (Date.UTC(2101, 0, 1) - now) / 1_000],
  ])('of an Expires with the date %s', (expires, seconds) => {
    expect(explicitLifetime({ expires }, of({ expires }), now)).toBe(seconds)
  })

  test('of a targeted field, which replaces Expires also if it states none', () => {
    const headers = (value: string) => ({ 'cdn-cache-control': value, expires: at(30) })
    const lifetime = (value: string) =>
      explicitLifetime(headers(value), of(headers(value), ['cdn-cache-control']), now)
    expect([lifetime('max-age=5'), lifetime('public')]).toEqual([5, undefined])
    const members = [
      'a=("b, c" d;e=1 2.5)',
      'a=:aGk=:',
      'a=@1700000000',
      'a=%"f%c3%bc"',
      'a;b="c, d"',
    ]
    for (const other of members) expect(lifetime(`${other}, max-age=5`)).toBe(5)
    // Each is an error of the whole field, which is ignored.
    for (const wrong of ['a=(b, c)', 'a=("b)', 'a=:a', 'a=%"', 'a="b"c'])
      expect(lifetime(`${wrong}, max-age=5`)).toBe(30)
  })
})

test('the lifetime of a response without one is a tenth of the time since its last change', () => {
  expect(heuristicLifetime({ 'last-modified': at(-100) }, now)).toBeCloseTo(10)
  expect(heuristicLifetime({ 'last-modified': at(100) }, now)).toBe(0)
  expect(heuristicLifetime({}, now)).toBe(0)
})

describe('the age of a response at its receipt', () => {
  const cases: readonly [Headers, number][] = [
    [{}, 0],
    [{ age: '5' }, 5],
    [{ age: ' 5 , 9' }, 5],
    [{ age: ['7', '9'] }, 7],
    [{ age: 'five' }, 0],
    [{ age: '-5' }, 0],
    [{ date: at(-10) }, 10],
    [{ date: at(10) }, 0],
    [{ age: '5', date: at(-10) }, 10],
    [{ age: '15', date: at(-10) }, 15],
  ]
  test.each(cases)('%o: %d', (headers, seconds) => {
    expect(initialAge(headers, now)).toBe(seconds)
  })
})

test.each([
  ['must-revalidate', true],
  ['proxy-revalidate', true],
  ['s-maxage=5', true],
  ['no-cache', true],
  ['no-cache="set-cookie"', false],
  ['max-age=5, public', false],
])('whether %s forbids to send a stale response: %s', (value, isForbidden) => {
  expect(forbidsStale(of({ 'cache-control': value }).directives)).toBe(isForbidden)
})

test('the first targeted field that is valid replaces Cache-Control', () => {
  const headers = { 'a-cache-control': '"', 'b-cache-control': 'max-age=1', 'cache-control': 'x y' }
  const names = ['missing', 'a-cache-control', 'b-cache-control']
  const targeted = { directives: new Map([['max-age', '1']]), isTargeted: true, isMalformed: false }
  expect(of(headers, names)).toEqual(targeted)
  expect(of(headers, ['a-cache-control'])).toMatchObject({ isTargeted: false, isMalformed: true })
  expect(of({ 'cache-control': 'public' }).isMalformed).toBe(false)
})
