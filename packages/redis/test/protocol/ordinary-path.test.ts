import { tracingChannel } from 'node:diagnostics_channel'
import { redis } from '@stowage/redis'
import { startCluster, startRedis } from '@stowage/test-servers'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sentCommands, wrapSendCommand } from '../wrap-send-command.ts'

const server = await startRedis()
const store = redis({ url: server.url, timeout: '20s' })
let restore = () => {}

beforeEach(async () => {
  await store.ping()
  sentCommands.length = 0
})
afterEach(() => restore())
afterAll(async () => {
  await store.close()
  await server.stop()
})

async function callEach(target: typeof store): Promise<void> {
  await target.set('k', 'v')
  await target.set('k', 'v', 60_000)
  expect(String(await target.get('k'))).toBe('v')
  expect(await target.touch('k', 60_000)).toBe(true)
  expect(await target.increment('n', 2)).toBe(2)
  expect(await target.delete('k')).toBe(true)
  await target.delete('n')
}

const calledCommands = ['set', 'set', 'get', 'pexpire', 'evalsha', 'unlink', 'unlink']

describe('commands pass sendCommand of ioredis', () => {
  test('if a tool has wrapped it, also after the first call', async () => {
    await callEach(store)
    expect(sentCommands).toEqual([])
    restore = wrapSendCommand()
    await callEach(store)
    expect(sentCommands).toEqual(calledCommands)
    restore()
    await callEach(store)
    expect(sentCommands).toHaveLength(calledCommands.length)
  })

  test('in a cluster if a tool has wrapped it', async () => {
    const cluster = await startCluster()
    const clusterNodes = cluster.addresses.map(({ host, port }) => `${host}:${port}`)
    const clustered = redis({ clusterNodes, timeout: '20s' })
    // Loads the script on the node of the key.
    await callEach(clustered)
    restore = wrapSendCommand()
    sentCommands.length = 0
    await callEach(clustered)
    // Once through the cluster client, once through that of the node.
    expect(sentCommands).toEqual(calledCommands.flatMap((name) => [name, name]))
    await clustered.close()
    await cluster.stop()
  })

  test('if a subscriber traces the commands', async () => {
    const traced: string[] = []
    const start = ({ command }: { command: string }) => traced.push(command)
    const channel = tracingChannel('ioredis:command')
    channel.start.subscribe(start as never)
    await callEach(store)
    channel.start.unsubscribe(start as never)
    expect(traced).toEqual(calledCommands)
  })
})

test('small values with one ttl become two scripts, and a value that a script cannot set fails alone', async () => {
  restore = wrapSendCommand()
  const setAll = () =>
    Promise.all(Array.from({ length: 100 }, (_, i) => store.set(`k${i}`, `${i}`, 60_000)))
  await setAll()
  sentCommands.length = 0
  await setAll()
  expect(sentCommands).toEqual(['evalsha', 'evalsha'])
})
