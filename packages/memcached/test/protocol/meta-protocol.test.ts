import { createServer } from 'node:net'
import { memcached } from '@stowage/memcached'
import { afterEach, expect, test } from 'vitest'
import { meta } from '../../src/protocol/meta-protocol.ts'
import { ProtocolMismatchError } from '../../src/protocol/protocol.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** Decodes a text that arrives in pieces of `pieceBytes` bytes. */
function decode(text: string, pieceBytes: number): string[] {
  const decoder = meta.decoder()
  const replies: string[] = []
  const bytes = Buffer.from(text, 'latin1')
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    decoder.receive(bytes.subarray(at, at + pieceBytes), ({ status, opaque, value }) =>
      replies.push(`${status} ${opaque} ${value}`),
    )
  }
  return replies
}

test('decodes replies that arrive in pieces of any size', () => {
  const text = 'VA 5 f0 c7 O3\r\na\r\nbc\r\nHD O4\r\nEN\r\nVA 0 O5\r\n\r\nMN\r\n'
  const replies = decode(text, text.length)
  expect(replies).toEqual(['0 3 a\r\nbc', '0 4 O4', '1 undefined ', '0 5 ', '0 undefined '])
  for (let bytes = 1; bytes < text.length; bytes++) expect(decode(text, bytes)).toEqual(replies)
})

test('decodes the replies of commands without a key', () => {
  const decoder = meta.decoder()
  const replies: unknown[] = []
  const text =
    'VERSION 1.6.18\r\nSTAT item_size_max 1048576\r\nSTAT empty \r\nEND\r\n' +
    'SERVER_ERROR object too large for cache\r\nHD O4294967295 c12345678901234567890\r\n'
  decoder.receive(Buffer.from(text), ({ status, opaque, name, value, cas, isEnd }) =>
    replies.push([status, opaque, name, String(value), cas, isEnd]),
  )
  expect(replies).toEqual([
    [0, undefined, '', '1.6.18', 0n, false],
    [0, undefined, 'item_size_max', '1048576', 0n, false],
    [0, undefined, 'empty', '', 0n, false],
    [0, undefined, '', '', 0n, false],
    [3, undefined, '', 'object too large for cache', 0n, false],
    [0, 4294967295, '', 'O4294967295 c12345678901234567890', 12345678901234567890n, false],
  ])
})

test.each([
  'VA\r\n',
  'VA 3 f\r\nabc\r\n',
  'HD Ox\r\n',
  'HD O12345678901\r\n',
  '\r\n',
  '\n\n\n',
  'VA x O1\r\n',
  'VA -1 O1\r\n',
  'HTTP/1.1 400 Bad Request\r\n',
  'constructor\r\n',
  'x'.repeat(100_000),
])('rejects a reply in another protocol: %.12s', (text) => {
  expect(() => decode(text, 1_000)).toThrow(ProtocolMismatchError)
})

test('fails with a remedy if the server does not support meta commands', async () => {
  const server = createServer((socket) =>
    socket.on('data', (line) => {
      socket.write(String(line).startsWith('version') ? 'VERSION 1.4.0\r\n' : 'ERROR\r\n')
    }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const timeouts = { timeout: '20s', connectTimeout: '20s' } as const
  const store = memcached({ servers: [`127.0.0.1:${port}`], protocol: 'meta', ...timeouts })
  cleanups.push(
    () => store.close(),
    async () => server.close(),
  )
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
    message: expect.stringContaining('memcached 1.6'),
  })
})
