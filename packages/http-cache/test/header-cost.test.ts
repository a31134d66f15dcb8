import type { IncomingMessage } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { parseCacheControl } from '../src/headers/cache-control.ts'
import { chooseEncoding, chooseType } from '../src/headers/negotiation.ts'
import { addedProperties } from '../src/reads/added-properties.ts'
import { isAmbiguous, isCredential } from '../src/request/bypass.ts'
import { isNotModified, parseRange, permitsRange } from '../src/request/conditions.ts'
import { normalizeHeader, planVariation } from '../src/request/vary-by.ts'

/** Node refuses more bytes of headers by default. */
const length = 16_000
/** How often a parser may read each character. */
const maxStepsPerCharacter = 20
/** Regular expressions are for short texts: their steps cannot be counted. */
const maxExpression = 300

const selected = { status: 200, etag: '"a"', lastModified: undefined, date: undefined }
const conditions = {
  method: 'GET',
  ifNoneMatch: undefined,
  ifModifiedSince: undefined,
  ifRange: undefined,
  range: undefined,
  acceptEncoding: undefined,
}
const cookies = planVariation(['cookie:a', 'cookie:b'])

/** All parsers of request headers. */
const parsers: Record<string, (header: string) => unknown> = {
  'Cache-Control': parseCacheControl,
  'Accept-Encoding': (header) => chooseEncoding(header, ['zstd', 'br', 'gzip']),
  Accept: (header) => chooseType(header, ['text/html', 'application/json']),
  'If-None-Match': (header) => isNotModified({ ...conditions, ifNoneMatch: header }, selected, 0),
  'If-Modified-Since': (header) =>
    isNotModified({ ...conditions, ifModifiedSince: header }, selected, 0),
  'If-Range': (header) => permitsRange(header, selected),
  Range: (header) => parseRange(header, 1_000),
  Cookie: (cookie) => cookies.partOf?.({ headers: { cookie } } as IncomingMessage),
  Host: (host) =>
    isAmbiguous({ headers: { host }, url: '/', rawHeaders: [] } as unknown as IncomingMessage, '/'),
  'Accept-Language': (header) => normalizeHeader('accept-language', header),
  'a header of varyBy': (header) => normalizeHeader('x-a', header),
  'a credential of varyBy': (header) => normalizeHeader('cookie', header),
  'the name of a header': isCredential,
  'the path': (text) => {
    const [first = '', second = ''] = [text.slice(0, length / 2), text.slice(length / 2)]
    const url = `/${first}b/${second.replaceAll('%', '')}`
    addedProperties({ url, params: { id: second, path: second.split('') } } as never)
    addedProperties({ url, params: { id: second.slice(1) } } as never)
  },
}
const starts = ['', 'a=', 'a="', 'a;q=', 'bytes=', 'W/"']
const patterns = [' ', '"', ',', ';', '=', 'a', '1', ' ;', '\\"', 'W/"', 'a="\\",', 'a=b;', '-_']
const ends = ['', ';', '"b']

/** Replaces a method until the end of the test. Not a spy, which would keep each call. */
function replace(prototype: object, method: string, replacement: unknown): void {
  const original = Reflect.get(prototype, method)
  Reflect.set(prototype, method, replacement)
  onTestFinished(() => void Reflect.set(prototype, method, original))
}

test.each(Object.keys(parsers))('%s: each character is read a few times', (name) => {
  let steps = 0
  let longest = 0
  const { charCodeAt, indexOf, slice } = String.prototype
  replace(String.prototype, 'charCodeAt', function (this: string, at: number) {
    steps++
    return charCodeAt.call(this, at)
  })
  replace(String.prototype, 'indexOf', function (this: string, part: string, from = 0) {
    const found = indexOf.call(this, part, from)
    // In the worst case, each character is compared with each one of a long part.
    steps += (1 + (found < 0 ? this.length : found) - from) * Math.max(1, part.length)
    return found
  })
  replace(String.prototype, 'slice', function (this: string, from?: number, to?: number) {
    const part = slice.call(this, from, to)
    steps += 1 + part.length
    return part
  })
  for (const method of ['split', 'toLowerCase', 'trim', 'includes', 'replaceAll']) {
    const original = Reflect.get(String.prototype, method)
    replace(String.prototype, method, function (this: string, ...args: unknown[]) {
      steps += 1 + this.length
      return original.apply(this, args)
    })
  }
  const { exec } = RegExp.prototype
  replace(RegExp.prototype, 'exec', function (this: RegExp, text: string) {
    longest = Math.max(longest, text.length)
    return exec.call(this, text)
  })
  const parse = parsers[name] as (header: string) => unknown
  const slow: string[] = []
  for (const start of starts) {
    for (const pattern of patterns) {
      for (const end of ends) {
        const header = start + pattern.repeat(length / pattern.length) + end
        steps = 0
        longest = 0
        parse(header)
        const isSlow = steps > maxStepsPerCharacter * header.length || longest > maxExpression
        if (isSlow) slow.push(JSON.stringify([start, pattern, end, steps, longest]))
      }
    }
  }
  expect(slow).toEqual([])
})

test('directives are parsed as the section of RFC 9111 says, whatever is between them', () => {
  const parsed = (text: string) => Object.fromEntries(parseCacheControl(text))
  expect(parsed('max-age=1, no-store')).toEqual({ 'max-age': '1', 'no-store': true })
  expect(parsed(' \tMax-Age = "5" \t,,, PRIVATE="a, b" , x')).toEqual({
    'max-age': '"5"',
    private: '"a, b"',
    x: true,
  })
  expect(parsed('a b, c;d, e="f, no-store')).toEqual({ e: '"f', 'no-store': true })
  expect(parsed('a="b"c, d="e\\", f"')).toEqual({ a: '"b"c', d: '"e\\", f"' })
  expect(parsed('=, "a", b=')).toEqual({ b: '' })
})
