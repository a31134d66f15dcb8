import { CacheError } from '@stowage/core'
import { expect, test } from 'vitest'
import { getValueWithTtl } from '../../src/items/value-with-ttl.ts'
import type { Dispatcher } from '../../src/nodes/dispatcher.ts'
import { item, scriptedNodes } from './scripted-nodes.ts'

/** Reads a value whose item has this cas id, while the replies on the other connection are these, one after another. */
function read(cas: bigint, ...replies: ({ ttl: number; cas: bigint } | undefined)[]) {
  const connection = { protocol: {}, get: async () => ({ value: 'v', cas }) }
  const meta = { getTtl: async () => replies.shift() }
  const dispatcher = {
    send: async (_operation: string, _key: string, command: (each: unknown) => unknown) =>
      command(connection),
    sendMeta: async (_operation: string, _key: string, command: (each: unknown) => unknown) =>
      command(meta),
  } as unknown as Dispatcher
  return getValueWithTtl(dispatcher, 'k')
}

test('the ttl of a value on two connections is that of the same item', async () => {
  expect(await read(2n, { ttl: 60_000, cas: 2n })).toEqual({ value: 'v', ttl: 60_000 })
})

test('the ttl is read again if the first reply is that of the item before', async () => {
  const replies = [
    { ttl: 1_000, cas: 1n },
    { ttl: 60_000, cas: 2n },
  ]
  expect(await read(2n, ...replies)).toEqual({ value: 'v', ttl: 60_000 })
})

test.each([
  ['another item', { ttl: 1_000, cas: 3n }],
  ['none', undefined],
])('the ttl is not known if the item was replaced by %s', async (_, reply) => {
  expect(await read(2n, reply, reply)).toEqual({ value: 'v', ttl: undefined })
})

test('the value and its ttl are one request with the meta protocol', async () => {
  const { dispatcher, requests } = scriptedNodes(() => item('v', { ttl: 5 }), { hasMeta: true })
  expect(await getValueWithTtl(dispatcher, 'k')).toEqual({ value: Buffer.from('v'), ttl: 5_000 })
  expect(requests).toEqual([['getWithTtl', 'k']])
})

test('the ttl is not known without the meta protocol, but if that fails, so does the call', async () => {
  const read = (code: 'ERR_CACHE_UNSUPPORTED' | 'ERR_CACHE_UNAVAILABLE') => {
    const noMeta = new CacheError(code, code, { store: 'memcached', operation: 'getWithTtl' })
    return getValueWithTtl(scriptedNodes(() => item('v'), { noMeta }).dispatcher, 'k')
  }
  const unknown = { value: Buffer.from('v'), ttl: undefined }
  expect(await read('ERR_CACHE_UNSUPPORTED')).toEqual(unknown)
  await expect(read('ERR_CACHE_UNAVAILABLE')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
  })
})
