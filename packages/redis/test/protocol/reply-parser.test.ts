import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { incomplete, ReplyParser, unsupported } from '../../src/protocol/reply-parser.ts'

type Reply = string | number | null | Reply[]

const texts = ['', 'v', '\r\n', '$3\r\nabc\r\n', '-ERR no', 'ä€😀', 'x'.repeat(3_000)]

function randomElement(): Reply {
  const index = randomInt(texts.length + 1)
  return texts[index] ?? null
}

function randomReply(): Reply {
  const kind = randomInt(6)
  if (kind === 0) return randomInt(2 ** 40) - 2 ** 39
  if (kind < 3) return randomElement()
  return Array.from({ length: randomInt(6) }, randomElement)
}

function encode(reply: Reply): string {
  if (reply === null) return randomInt(2) === 0 ? '$-1\r\n' : '_\r\n'
  if (typeof reply === 'number') return `:${reply}\r\n`
  if (typeof reply === 'string') return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`
  return `*${reply.length}\r\n${reply.map(encode).join('')}`
}

const toText = (reply: unknown): unknown =>
  Array.isArray(reply) ? reply.map(toText) : Buffer.isBuffer(reply) ? `${reply}` : reply

function parse(chunks: readonly Buffer[]): unknown[] {
  const parser = new ReplyParser()
  const replies: unknown[] = []
  for (const chunk of chunks) {
    parser.add(chunk)
    for (let reply = parser.next(); reply !== incomplete; reply = parser.next()) {
      replies.push(toText(reply))
    }
    expect(parser.isAtEnd).toBe(true)
  }
  expect(parser.isInReply).toBe(false)
  return replies
}

test.each(['+', ':', '_', '$', '*', '*2\r\n$1\r\na\r\n:'])(
  'a line after %j that does not end is not collected',
  (start) => {
    const parser = new ReplyParser()
    parser.add(Buffer.from(start))
    let reply = parser.next()
    let received = 0
    while (reply === incomplete && received < 1_000_000) {
      const chunk = Buffer.alloc(1_000, '1')
      received += chunk.length
      parser.add(chunk)
      reply = parser.next()
    }
    expect(reply).toBe(unsupported)
    expect(parser.isInReply).toBe(true)
    expect(received).toBeLessThan(70_000)
  },
)

test('replies are parsed wherever they are split', () => {
  const replies: Reply[] = ['ab', [], [null, 'c', '\r\n'], -12, null, 'x'.repeat(20), ['', '']]
  const bytes = Buffer.from(replies.map(encode).join(''))
  expect(parse([bytes])).toEqual(replies)
  expect(parse([...bytes].map((byte) => Buffer.from([byte])))).toEqual(replies)
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second += 3) {
      const parts = [
        bytes.subarray(0, first),
        bytes.subarray(first, second),
        bytes.subarray(second),
      ]
      expect(parse(parts.filter(({ length }) => length > 0))).toEqual(replies)
    }
  }
})

test('random replies are parsed in random chunks', () => {
  for (let round = 0; round < 300; round++) {
    const replies = Array.from({ length: 1 + randomInt(8) }, randomReply)
    const bytes = Buffer.from(replies.map(encode).join(''))
    const chunks: Buffer[] = []
    for (let start = 0; start < bytes.length; ) {
      const end = start + 1 + randomInt(randomInt(2) === 0 ? 4 : 2_000)
      chunks.push(bytes.subarray(start, end))
      start = end
    }
    expect(parse(chunks)).toEqual(replies)
  }
})

test('values of an ASCII chunk are text, and others are their bytes', () => {
  const ascii = ['', 'v', '\r\n', '\0\x7f', '{"a":1}']
  const others = ['\x80', '\xff\xfe', '\xc3', '\xc3\xa4'].map((text) => Buffer.from(text, 'latin1'))
  const encodeBytes = (value: Buffer | string) =>
    Buffer.concat([Buffer.from(`$${value.length}\r\n`), Buffer.from(value), Buffer.from('\r\n')])
  const parser = new ReplyParser()
  parser.add(Buffer.concat(ascii.map(encodeBytes)))
  expect(ascii.map(() => parser.next())).toEqual(ascii)
  for (const other of others) {
    const values = [...ascii, other, ...ascii]
    parser.add(Buffer.concat(values.map(encodeBytes)))
    expect(values.map(() => parser.next())).toEqual(values.map((value) => Buffer.from(value)))
    expect(parser.isAtEnd).toBe(true)
  }
})

test('a split value does not change the type of those that follow it', () => {
  const parser = new ReplyParser()
  parser.add(Buffer.from('*3\r\n$2\r\na'))
  expect(parser.next()).toBe(incomplete)
  parser.add(Buffer.from('b\r\n$2\r\nä\r\n$1\r\nc\r\n'))
  expect(parser.next()).toEqual(['ab', Buffer.from('ä'), Buffer.from('c')])
  expect(parser.isAtEnd).toBe(true)
})

test('what follows a split value is left to others', () => {
  const parser = new ReplyParser()
  parser.add(Buffer.from('$2\r\na'))
  expect(parser.next()).toBe(incomplete)
  parser.add(Buffer.from('b\r\n-ERR no\r\n'))
  expect(parser.next()).toBe('ab')
  expect(parser.isAtEnd).toBe(false)
  expect(parser.next()).toBe(unsupported)
  expect(String(parser.takeRest())).toBe('-ERR no\r\n')
  expect(parser.isAtEnd).toBe(true)
})

test('OK is text, and errors and other types are left to others, with what follows them', () => {
  const parser = new ReplyParser()
  for (const rest of ['-ERR no\r\n:1\r\n', '>2\r\n', '%1\r\n', '#t\r\n', ',1.5\r\n']) {
    parser.add(Buffer.from(`+OK\r\n${rest}`))
    expect(toText(parser.next())).toBe('OK')
    expect(parser.next()).toBe(unsupported)
    expect(parser.isInReply).toBe(false)
    expect(String(parser.takeRest())).toBe(rest)
    expect(parser.isAtEnd).toBe(true)
  }
})

test('a long value is joined once', () => {
  const value = 'x'.repeat(5_000_000)
  const bytes = Buffer.from(encode([value, 'next']))
  const chunks = Array.from({ length: Math.ceil(bytes.length / 1_000) }, (_, i) =>
    bytes.subarray(i * 1_000, (i + 1) * 1_000),
  )
  expect(parse(chunks)).toEqual([[value, 'next']])
})
