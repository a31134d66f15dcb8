import { randomBytes, randomInt } from 'node:crypto'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import type { BulkString } from '../../src/protocol/command-client.ts'
import {
  bulkString,
  lineEnd,
  type Request,
  RequestWriter,
  requestHeader,
} from '../../src/protocol/request-writer.ts'

const texts = ['', 'v', '\r\n', 'ä€😀', 'x'.repeat(1_000), 'ä'.repeat(16_385), 'x'.repeat(70_000)]

function randomBulkString(): BulkString {
  const text = texts[randomInt(texts.length + 1)]
  return text ?? randomBytes(randomInt(100))
}

function randomRequest(): Request {
  const argsPerCommand = randomInt(4)
  const count = argsPerCommand === 0 ? 0 : argsPerCommand * (1 + randomInt(40))
  const args = Array.from({ length: count }, randomBulkString)
  const header = requestHeader('SET', argsPerCommand + 1)
  return { header, args, suffix: bulkString('NX') + lineEnd, argsPerCommand }
}

/** The commands of a random request as arrays of bulk strings, encoded one by one. */
function encodeSimply({ args, argsPerCommand }: Request): Buffer {
  const commandCount = argsPerCommand === 0 ? 1 : args.length / argsPerCommand
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

/** Writes the requests of each turn, and returns the chunks that the socket gets. */
function chunksOf(...turns: readonly Request[][]): Buffer[] {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk)
      done()
    },
  })
  const writer = new RequestWriter()
  for (const requests of turns) writer.write(requests, stream)
  return chunks
}

test('random requests are written as arrays of bulk strings, after ASCII and after other text', () => {
  for (let round = 0; round < 30; round++) {
    const turns = Array.from({ length: 1 + randomInt(3) }, () =>
      Array.from({ length: 1 + randomInt(5) }, randomRequest),
    )
    const expected = Buffer.concat(turns.flat().map(encodeSimply))
    expect(Buffer.concat(chunksOf(...turns)).equals(expected)).toBe(true)
  }
})

test('a block ends after 64 KiB of text, also between the commands of a request', () => {
  const args = Array.from({ length: 400 }, () => 'x'.repeat(1_000))
  const header = requestHeader('SET', 2)
  const sizes = chunksOf([{ header, args, suffix: lineEnd, argsPerCommand: 2 }]).map(
    ({ length }) => length,
  )
  expect(sizes.length).toBe(7)
  expect(Math.max(...sizes)).toBeLessThan(64 * 1024 + 2_100)
})
