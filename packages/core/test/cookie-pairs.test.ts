import { describe, expect, test } from 'vitest'
import { cookiePairs } from '../src/cookie-pairs.ts'

const exact = (text: string) => ({ text, isExact: true })
const similar = (text: string) => ({ text, isExact: false })

describe('the pairs of a cookie', () => {
  test.each([
    ['a=1; sid=x; b=2', [exact('sid=x')]],
    ['sid=x;sid=y', [exact('sid=x'), exact('sid=y')]],
    ['\t sid =x\t ; b=2', [exact('sid =x')]],
    ['sid="a b"', [exact('sid="a b"')]],
    ['sid=', [exact('sid=')]],
    ['sid==x=', [exact('sid==x=')]],
  ])('of %j are %j', (header, pairs) => {
    expect(cookiePairs(header, 'sid')).toEqual(pairs)
  })

  test('are also those whose name a parser may change into this one', () => {
    const removable = [
      '\xa0',
      '\x0b',
      '\x0c',
      '\x85',
      '\xc2\xa0',
      '\xef\xbb\xbf',
      '"',
      ',',
      ' \xa0\t',
    ]
    for (const text of removable) {
      const trimmed = text.replace(/^[ \t]+/, '')
      expect(cookiePairs(`${text}sid=x; sid=y`, 'sid')).toEqual([
        similar(`${trimmed}sid=x`),
        exact('sid=y'),
      ])
      expect(cookiePairs(`a=1; sid${text}=x`, 'sid')).toEqual([similar(`sid${text}=x`)])
    }
    expect(cookiePairs('sid; sid=x', 'sid')).toEqual([similar('sid'), exact('sid=x')])
  })

  test('are not those of other names, nor texts in values', () => {
    const headers = [
      'asid=x',
      'sida=x',
      'sid-a=x',
      'a=sid',
      'a=sid=x',
      'a=1, sid=x',
      'SID=x',
      '',
      '=sid',
    ]
    for (const header of headers) expect(cookiePairs(header, 'sid')).toEqual([])
    expect(cookiePairs('a=1; =; b', '')).toEqual([])
  })

  test('are found in linear time', () => {
    // The characters that are read, counted by a header that is read through an index.
    const worst = [
      ' '.repeat(16_000),
      '\xa0sid'.repeat(4_000),
      'sid '.repeat(4_000),
      'sid;'.repeat(4_000),
      'sid=;'.repeat(3_200),
    ]
    for (const text of worst) {
      for (const header of [text, `sid${text}`, `${text}sid=x`]) {
        const counter = new CountedText(header)
        cookiePairs(counter as unknown as string, 'sid')
        expect(counter.reads).toBeLessThan(20 * header.length)
      }
    }
  })
})

/** A text that counts how many of its characters are read. */
class CountedText {
  reads = 0
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  get length(): number {
    return this.#text.length
  }
  charCodeAt(at: number): number {
    this.reads++
    return this.#text.charCodeAt(at)
  }
  indexOf(part: string, from = 0): number {
    const found = this.#text.indexOf(part, from)
    this.reads += (found < 0 ? this.#text.length : found) - from
    return found
  }
  slice(start: number, end: number): string {
    this.reads += end - start
    return this.#text.slice(start, end)
  }
}
