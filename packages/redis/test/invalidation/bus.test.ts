import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { freePort, startRedis } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { succeeds, waitUntil } from '../helpers.ts'
import { buses, busFixture, recordNotifications, shortTimeouts } from './bus-fixture.ts'

const { cleanups, startServer, startFaultProxy, closeAfterTest } = busFixture()

describe.each(Object.entries(buses))('%s', (name, { createBus, changeKey }) => {
  test('notifies all listeners of keys changed by others, until they unsubscribe', async () => {
    const { url, port } = await startServer()
    const bus = closeAfterTest(createBus({ url }))
    expect(bus.connected).toBe(false)
    const first = await recordNotifications(bus)
    const second = await recordNotifications(bus)
    const unsubscribed: unknown[] = []
    const unsubscribe = await bus.subscribe((keys) => unsubscribed.push(keys))
    expect(bus.connected).toBe(true)
    unsubscribe()
    await changeKey(port, 'a')
    await waitUntil('both are notified', () => first.length > 0 && second.length > 0)
    expect(first).toEqual([['a']])
    expect(second).toEqual([['a']])
    expect(unsubscribed).toEqual([])
  })

  test('passes keys with special characters unchanged', async () => {
    const { url, port } = await startServer()
    const notifications = await recordNotifications(closeAfterTest(createBus({ url })))
    const keys = ['\u0000', 'a\r\nb', '"\\', '😀é', ' ', '*?[x]', 'k'.repeat(1_000)]
    for (const key of keys) await changeKey(port, key)
    await waitUntil('all keys arrive', () => notifications.flat().length === keys.length)
    expect(notifications.flat()).toEqual(keys)
  })

  test('notifies the other listeners when one throws, and emits a warning', async () => {
    const { url, port } = await startServer()
    const bus = closeAfterTest(createBus({ url }))
    const warning = new Promise<Error>((resolve) => process.once('warning', resolve))
    await bus.subscribe((keys) => {
      if (keys?.[0] === 'a') throw new Error('thrown by a listener')
    })
    const notifications = await recordNotifications(bus)
    await changeKey(port, 'a')
    await waitUntil('the first change arrives', () => notifications.length > 0)
    await changeKey(port, 'b')
    await waitUntil('the second change arrives', () => notifications.length > 1)
    const detail = expect.stringContaining('thrown by a listener')
    expect(await warning).toMatchObject({ detail })
    expect(notifications).toEqual([['a'], ['b']])
  })

  test('notifies the listeners of a bus in another process', async () => {
    const { url, port } = await startServer()
    const program = `
      import { ${name} } from '@stowage/redis'
      const bus = ${name}({ url: '${url}' })
      await bus.subscribe((keys) => console.log(JSON.stringify(keys ?? null)))
      console.log('subscribed')
      process.stdin.once('end', () => bus.close()).resume()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines: string[] = []
    createInterface(child.stdout).on('line', (line) => lines.push(line))
    const exited = once(child, 'exit')
    await waitUntil('the process has subscribed', () => lines.includes('subscribed'))
    await changeKey(port, 'a')
    await waitUntil('the process is notified', () => lines.includes('["a"]'))
    child.stdin.end()
    expect((await exited)[0]).toBe(0)
  })

  test('keeps an idle connection open', async () => {
    const { port } = await startServer()
    const proxy = await startFaultProxy(port)
    const bus = closeAfterTest(createBus({ url: proxy.url }))
    const notifications = await recordNotifications(bus)
    for (let pings = 0; pings < 2; pings++) {
      const before = proxy.bytes.replies
      await expect.poll(() => proxy.bytes.replies).toBeGreaterThan(before)
    }
    expect(proxy.accepted).toBe(1)
    expect(notifications).toEqual([])
    expect(bus.connected).toBe(true)
  })

  test.each(['url', 'client'])('rejects an invalid option: %s', (option) => {
    const options = { [option]: 'x' } as object
    expect(() => createBus(options)).toThrow(expect.objectContaining({ code: 'ERR_CACHE_CONFIG' }))
  })

  describe('subscribe()', () => {
    test('rejects if no server is reachable, and can be called again later', async () => {
      const port = await freePort()
      const url = `redis://127.0.0.1:${port}`
      const bus = closeAfterTest(createBus({ url, ...shortTimeouts }))
      const notifications: unknown[] = []
      await expect(bus.subscribe((keys) => notifications.push(keys))).rejects.toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
      })
      cleanups.push((await startRedis({ port })).stop)
      await waitUntil('subscribe succeeds', () => succeeds(() => bus.subscribe(() => {})))
      await changeKey(port, 'a')
      expect(notifications).toEqual([])
    })

    test('rejects on timeout if the server does not reply', async () => {
      const { port } = await startServer()
      const proxy = await startFaultProxy(port)
      proxy.mute(true)
      const bus = closeAfterTest(createBus({ url: proxy.url, ...shortTimeouts }))
      await expect(bus.subscribe(() => {})).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    })
  })

  describe('close()', () => {
    test('is idempotent, notifies "anything", and makes later calls reject', async () => {
      const { url } = await startServer()
      const bus = createBus({ url })
      const notifications = await recordNotifications(bus)
      await Promise.all([bus.close(), bus.close()])
      expect(notifications).toEqual([undefined])
      expect(bus.connected).toBe(false)
      const closed = { code: 'ERR_CACHE_CLOSED' }
      await expect((async () => bus.publish(['a']))()).rejects.toMatchObject(closed)
      await expect(bus.subscribe(() => {})).rejects.toMatchObject(closed)
    })

    test('ends calls in flight, even while no server is reachable', async () => {
      const bus = createBus({ url: `redis://127.0.0.1:${await freePort()}`, ...shortTimeouts })
      const subscribing = bus.subscribe(() => {})
      const outcome = expect(subscribing).rejects.toHaveProperty('code')
      await bus.close()
      await outcome
      expect(bus.connected).toBe(false)
    })

    test('resolves in bounded time if the server does not reply', async () => {
      const { port } = await startServer()
      const proxy = await startFaultProxy(port)
      const bus = createBus({ url: proxy.url, ...shortTimeouts })
      const notifications = await recordNotifications(bus)
      proxy.mute(true)
      const outcome = Promise.allSettled([bus.publish(['a']), bus.subscribe(() => {})])
      await bus.close()
      await outcome
      expect(bus.connected).toBe(false)
      expect(notifications.at(-1)).toBeUndefined()
    })

    test('lets the process exit', async () => {
      const { url } = await startServer()
      const program = `
        import { ${name} } from '@stowage/redis'
        const bus = ${name}({ url: '${url}' })
        await bus.subscribe(() => {})
        await bus.publish(['a'])
        await bus.close()
        console.log('closed')`
      const args = ['--input-type=module', '-e', program]
      const run = promisify(execFile)(process.execPath, args, { timeout: 30_000 })
      expect((await run).stdout).toBe('closed\n')
    })
  })
})
