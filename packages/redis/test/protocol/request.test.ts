import { randomBytes, randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Argument } from '../../src/protocol/command-client.ts'
import {
  bulkString,
  lineEnd,
  Request,
  RequestEncoder,
  requestHeader,
} from '../../src/protocol/request.ts'

const texts = ['', 'v', '\r\n', 'ä€😀', 'x'.repeat(1_000), 'ä'.repeat(16_385), 'x'.repeat(70_000)]

function randomArgument(): Argument {
  const text = texts[randomInt(texts.length + 1)]
  return text ?? randomBytes(randomInt(100))
}

function randomRequest(): Request {
  const argsPerCommand = randomInt(4)
  const count = argsPerCommand === 0 ? 0 : argsPerCommand * (1 + randomInt(40))
  const args = Array.from({ length: count }, randomArgument)
  const header = requestHeader('SET', argsPerCommand + 1)
  return new Request(header, args, bulkString('NX') + lineEnd, argsPerCommand)
}

/** The commands of a random request as arrays of bulk strings, encoded one by one. */
function encodeSimply({ args, argsPerCommand, commandCount }: Request): Buffer {
  const commands = Array.from({ length: commandCount }, (_, index) => {
    const own = args.slice(index * argsPerCommand, (index + 1) * argsPerCommand)
    const bulks = ['SET', ...own, 'NX'].flatMap((arg) => [
      Buffer.from(`$${Buffer.byteLength(arg)}\r\n`),
      Buffer.from(arg as string),
      Buffer.from('\r\n'),
    ])
    return Buffer.concat([Buffer.from(`*${own.length + 2}\r\n`), ...bulks])
  })
  return Buffer.concat(commands)
}

test('random requests are encoded in blocks, also if a block is encoded twice', () => {
  for (let round = 0; round < 30; round++) {
    const requests = Array.from({ length: 1 + randomInt(5) }, randomRequest)
    const encoder = new RequestEncoder(requests)
    const blocks: Buffer[] = []
    while (!encoder.isAtEnd) {
      if (randomInt(2) === 0) encoder.encode((text) => text.length)
      const parts = encoder.encode(Buffer.byteLength)
      blocks.push(Buffer.concat(parts.map((part) => Buffer.from(part as string))))
      encoder.advance()
    }
    expect(Buffer.concat(blocks).equals(Buffer.concat(requests.map(encodeSimply)))).toBe(true)
  }
})

test('a block ends after 64 KiB of text, also between the commands of a request', () => {
  const args = Array.from({ length: 400 }, () => 'x'.repeat(1_000))
  const encoder = new RequestEncoder([new Request(requestHeader('SET', 2), args, lineEnd, 2)])
  const sizes: number[] = []
  for (; !encoder.isAtEnd; encoder.advance()) {
    const [text = '', ...others] = encoder.encode(Buffer.byteLength)
    expect(others).toEqual([])
    sizes.push(text.length)
  }
  expect(sizes.length).toBe(7)
  expect(Math.max(...sizes)).toBeLessThan(64 * 1024 + 2_100)
})
