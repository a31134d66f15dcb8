import { redisBus } from '@stowage/redis'
import { command, startCluster, startReplicated } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { waitUntil } from '../helpers.ts'
import { busFixture, recordNotifications, shortTimeouts } from './bus-fixture.ts'

const { cleanups, startServer, startFaultProxy, closeAfterTest } = busFixture()

const channel = 'stowage:invalidate'

async function countPublished(port: number): Promise<number> {
  const stats = String(await command(port, 'INFO', 'commandstats'))
  return Number(/cmdstat_publish:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

describe('messages of redisBus', () => {
  test('contain all keys published in a tick, and reach every other bus', async () => {
    const { url, port } = await startServer()
    const [first, second] = [closeAfterTest(redisBus({ url })), closeAfterTest(redisBus({ url }))]
    const atFirst = await recordNotifications(first)
    const atSecond = await recordNotifications(second)
    await Promise.all([first.publish(['a', 'b']), first.publish(['b', 'c']), first.publish([])])
    await waitUntil('the second bus is notified', () => atSecond.length > 0)
    await second.publish(['d'])
    await waitUntil('the first bus is notified', () => atFirst.length > 0)
    expect(atSecond).toEqual([['a', 'b', 'c']])
    expect(atFirst).toEqual([['d']])
    expect(await countPublished(port)).toBe(2)
  })

  test('are not published for an empty list of keys', async () => {
    const { url, port } = await startServer()
    await closeAfterTest(redisBus({ url })).publish([])
    expect(await countPublished(port)).toBe(0)
  })

  test('are sent before close resolves', async () => {
    const { url } = await startServer()
    const notifications = await recordNotifications(closeAfterTest(redisBus({ url })))
    const publisher = redisBus({ url })
    const published = publisher.publish(['a'])
    await publisher.close()
    await published
    await waitUntil('the message arrives', () => notifications.length > 0)
    expect(notifications).toEqual([['a']])
  })

  test('mean "anything" if the list of keys is too long', async () => {
    const { url } = await startServer()
    const notifications = await recordNotifications(closeAfterTest(redisBus({ url })))
    const publisher = closeAfterTest(redisBus({ url }))
    await publisher.publish(Array.from({ length: 10_000 }, (_, i) => `key:${i}`))
    await publisher.publish(['a'])
    await waitUntil('both messages arrive', () => notifications.length > 1)
    expect(notifications).toEqual([undefined, ['a']])
  })

  test.each([
    '',
    'a',
    'null',
    '7',
    '[]',
    '["a"]',
    '{}',
    '{"from":"x","keys":"a"}',
    '{"from":"x","keys":["a",1]}',
    '{"keys":null}',
    '{"from"',
  ])('of other programs mean "anything" if they are invalid: %s', async (text) => {
    const { url, port } = await startServer()
    const notifications = await recordNotifications(closeAfterTest(redisBus({ url })))
    await command(port, 'PUBLISH', channel, text)
    await command(port, 'PUBLISH', channel, '{"from":"php","keys":["a"]}')
    await waitUntil('both messages arrive', () => notifications.length > 1)
    expect(notifications).toEqual([undefined, ['a']])
  })

  test('reach only buses with the same channel', async () => {
    const { url, port } = await startServer()
    const bus = closeAfterTest(redisBus({ url, channel: 'own' }))
    const notifications = await recordNotifications(bus)
    await command(port, 'PUBLISH', channel, '{"from":"x","keys":["a"]}')
    await closeAfterTest(redisBus({ url, channel: 'own', database: 3 })).publish(['b'])
    await waitUntil('a message arrives', () => notifications.length > 0)
    expect(notifications).toEqual([['b']])
  })
})

describe('publish() of redisBus', () => {
  test('rejects while disconnected; the next message after a reconnect means "anything"', async () => {
    const { url, port } = await startServer()
    const proxy = await startFaultProxy(port)
    const notifications = await recordNotifications(closeAfterTest(redisBus({ url })))
    const publisher = closeAfterTest(redisBus({ url: proxy.url, ...shortTimeouts }))
    await publisher.publish(['a'])
    proxy.refuse(true)
    proxy.cut()
    await expect(publisher.publish(['secret'])).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      operation: 'publish',
      message: expect.not.stringContaining('secret'),
    })
    proxy.refuse(false)
    await waitUntil('"anything" is announced', () => notifications.length > 1)
    expect(notifications).toEqual([['a'], undefined])
    await publisher.publish(['b'])
    await waitUntil('the next message arrives', () => notifications.length > 2)
    expect(notifications[2]).toEqual(['b'])
  })

  test('rejects on timeout if the server does not reply', async () => {
    const { url, port } = await startServer()
    const proxy = await startFaultProxy(port)
    const notifications = await recordNotifications(closeAfterTest(redisBus({ url })))
    const publisher = closeAfterTest(redisBus({ url: proxy.url, ...shortTimeouts }))
    await publisher.publish(['a'])
    proxy.mute(true)
    await expect(publisher.publish(['b'])).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    proxy.mute(false)
    await waitUntil('"anything" is announced', () => notifications.includes(undefined))
  })

  test('rejects on a demoted primary; "anything" is announced on the new primary', async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
    cleanups.push(stop)
    const promoted = replicas[0]?.port ?? 0
    const endpoint = await startFaultProxy(primary.port)
    const publisher = closeAfterTest(redisBus({ url: endpoint.url }))
    await publisher.publish(['a'])
    await command(promoted, 'REPLICAOF', 'NO', 'ONE')
    await command(primary.port, 'REPLICAOF', '127.0.0.1', promoted)
    const subscriber = closeAfterTest(redisBus({ url: `redis://127.0.0.1:${promoted}` }))
    const notifications = await recordNotifications(subscriber)
    await expect(publisher.publish(['b'])).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
    })
    endpoint.retarget(promoted)
    await waitUntil('a message arrives', () => notifications.length > 0)
    expect(notifications[0]).toBeUndefined()
  })

  test('succeeds without the permission to run ROLE', async () => {
    const { url, port } = await startServer()
    await command(port, 'ACL', 'SETUSER', 'default', '-role')
    await closeAfterTest(redisBus({ url })).publish(['a'])
  })
})

test('in a cluster, redisBus connects to another node if its node fails', async () => {
  const { nodes, addresses, stop } = await startCluster()
  cleanups.push(stop)
  const clusterNodes = addresses.map(({ host, port }) => `${host}:${port}`)
  const subscriber = closeAfterTest(redisBus({ clusterNodes, ...shortTimeouts }))
  const notifications = await recordNotifications(subscriber)
  const reversed = clusterNodes.slice().reverse()
  const publisher = closeAfterTest(redisBus({ clusterNodes: reversed, ...shortTimeouts }))
  await publisher.publish(['a'])
  await waitUntil('a message from another node arrives', () => notifications.length > 0)
  nodes[0]?.kill('SIGKILL')
  await waitUntil('the bus has reconnected', () => notifications.length > 2 && subscriber.connected)
  await waitUntil('a message arrives', async () => {
    await publisher.publish(['b'])
    return notifications.flat().includes('b')
  })
  expect(notifications.slice(0, 3)).toEqual([['a'], undefined, undefined])
})
