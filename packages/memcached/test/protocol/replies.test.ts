import { execFile } from 'node:child_process'
import { connect, createServer, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

let server: MemcachedServer
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  server = await startMemcached()
})

afterAll(() => server.stop())

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function createStore(port: number, options: MemcachedOptions = {}) {
  const servers = [`127.0.0.1:${port}`]
  const store = memcached({ servers, timeout: '2s', connectTimeout: '2s', ...options })
  cleanups.push(() => store.close())
  return store
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const listener = createServer((socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => listener.close())
  return (listener.address() as { port: number }).port
}

/** A proxy that passes replies through `change`, once it is set. */
async function startChangingProxy() {
  const proxy = { port: 0, change: undefined as ((reply: Buffer) => Buffer) | undefined }
  proxy.port = await listen((client) => {
    const upstream = connect(server.port, '127.0.0.1')
    upstream.on('error', () => {})
    client.pipe(upstream)
    upstream.on('data', (reply) => client.write(proxy.change?.(reply) ?? reply))
    upstream.on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
  })
  return proxy
}

type Store = ReturnType<typeof createStore>

const calls: Readonly<Record<string, (store: Store) => unknown>> = {
  get: (store) => store.get('k'),
  getMany: (store) => store.getMany(['k', 'n', 'none']),
  set: (store) => store.set('other', 'x'),
  add: (store) => store.add('k', 'x'),
  increment: (store) => store.increment('n', 1),
  touch: (store) => store.touch('none', 1_000),
  delete: (store) => store.delete('none'),
  ping: (store) => store.ping(),
}

const strays: Readonly<Record<string, string>> = {
  'the reply to a noop': 'MN\r\n',
  'a miss without an opaque': 'EN\r\n',
  'a success without an opaque': 'HD\r\n',
  'the reply to another request': 'HD O1\r\n',
  'the reply to flush_all': 'OK\r\n',
  'the reply to stats': 'END\r\n',
}
// A stray reply to a noop looks like that to a ping.
const cases = Object.keys(calls).flatMap((operation) =>
  Object.keys(strays)
    .slice(operation === 'ping' ? 1 : 0)
    .map((stray) => [operation, stray] as const),
)

describe('meta', () => {
  test.each(cases)('%s fails if %s comes before its reply', async (operation, name) => {
    const call = calls[operation] as (store: Store) => unknown
    const stray = strays[name] as string
    const proxy = await startChangingProxy()
    const store = createStore(proxy.port, { protocol: 'meta' })
    await store.set('k', 'v')
    await store.set('n', '41')
    proxy.change = (reply) => Buffer.concat([Buffer.from(stray), reply])
    const failing = (async () => call(store))()
    await expect(failing).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining(`127.0.0.1:${proxy.port}`),
    })
    proxy.change = undefined
    expect(String(await store.get('k'))).toBe('v')
  })
})

test.each(['get', 'getMany'] as const)(
  '%s fails if the declared length of a value is wrong, meta',
  async (operation) => {
    const proxy = await startChangingProxy()
    const store = createStore(proxy.port, { protocol: 'meta' })
    await store.set('k', '123456')
    proxy.change = (reply) => Buffer.from(String(reply).replace('VA 6', 'VA 3'))
    const call = async () => (operation === 'get' ? store.get('k') : store.getMany(['k', 'n']))
    await expect(call()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  },
)

test.each([
  ['of another request', (opaque: number) => opaque - 1],
  ['of a later request in the batch', (opaque: number) => opaque + 1],
])('getMany fails if a value has the opaque %s, binary', async (_, change) => {
  const proxy = await startChangingProxy()
  const store = createStore(proxy.port, { protocol: 'binary' })
  await store.setMany([['a', 'value of a']])
  await store.deleteMany(['b', 'c'])
  proxy.change = (reply) => {
    const changed = Buffer.from(reply)
    changed.writeUInt32BE(change(changed.readUInt32BE(12)), 12)
    return changed
  }
  const call = async () => store.getMany(['a', 'b', 'c'])
  await expect(call()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
})

test.each(['binary', 'meta'])(
  'a value is not overwritten after the application has thrown in the tick of its reply, %s',
  async (protocol) => {
    const script = `
      import { memcached } from '@stowage/memcached'
      const timeouts = { timeout: '20s', connectTimeout: '20s' }
      const store = memcached({ servers: ['${server.address}'], protocol: '${protocol}', ...timeouts })
      await store.set('large', 'x'.repeat(40_000))
      await store.set('small', 'fine')
      const values = []
      const wrong = []
      for (let i = 0; i < 5; i++) {
        const thrown = new Promise((resolve) => process.once('uncaughtException', resolve))
        store.get('large').then((value) => {
          values.push(value)
          process.nextTick(() => { throw new Error('of the application') })
        })
        await thrown
        const small = String(await store.get('small').catch((error) => error.code))
        if (small !== 'fine') wrong.push(small)
      }
      if (!values.every((value) => String(value) === 'x'.repeat(40_000))) wrong.push('overwritten')
      console.log(JSON.stringify({ values: values.length, wrong }))
      process.exit()`
    const node = promisify(execFile)
    const args = ['--input-type=module', '-e', script]
    const { stdout } = await node(process.execPath, args, { cwd: import.meta.dirname })
    expect(JSON.parse(stdout)).toEqual({ values: 5, wrong: [] })
  },
)
