import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { InvalidationBus } from '@stowage/core'
import { redis, redisBus, redisTracking } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  freePort,
  type RedisServer,
  startCluster,
  startProxy,
  startRedis,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const cleanups: (() => Promise<unknown>)[] = []
const short = { timeout: '400ms', connectTimeout: '400ms' } as const

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function server(args: string[] = []): Promise<RedisServer> {
  const started = await startRedis({ args })
  cleanups.push(started.stop)
  return started
}

async function proxy(port: number): Promise<FaultProxy> {
  const started = await startProxy(port)
  cleanups.push(() => started.stop())
  return started
}

function opened<Bus extends InvalidationBus>(bus: Bus): Bus {
  cleanups.push(() => bus.close())
  return bus
}

async function until(holds: () => unknown): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${holds}`)
    await sleep(5)
  }
}

/** What a listener has been told since it listens. */
async function heard(bus: InvalidationBus): Promise<(readonly string[] | undefined)[]> {
  const told: (readonly string[] | undefined)[] = []
  await bus.subscribe((keys) => told.push(keys))
  told.length = 0
  return told
}

/** Keeps copies the way the contract of a bus asks for. */
class Keeper {
  hits = 0
  readonly #bus: InvalidationBus
  readonly #port: number
  readonly #copies = new Map<string, unknown>()
  #told = 0

  constructor(bus: InvalidationBus, port: number) {
    this.#bus = bus
    this.#port = port
  }

  forget(keys: readonly string[] | undefined): void {
    this.#told++
    for (const key of keys ?? this.#copies.keys()) this.#copies.delete(key)
  }

  async read(key: string): Promise<void> {
    if (this.#bus.connected && this.#copies.has(key)) {
      this.hits++
      return
    }
    const before = this.#told
    const value = await command(this.#port, 'GET', key)
    if (this.#bus.connected && this.#told === before) this.#copies.set(key, value)
  }

  async isRecent(): Promise<boolean> {
    for (const [key, copy] of this.#copies)
      if ((await command(this.#port, 'GET', key)) !== copy) return false
    return true
  }
}

const buses = {
  redisBus: {
    make: redisBus,
    // Somebody else changes a key.
    change: async (port: number, key: string) => {
      const other = redisBus({ url: `redis://127.0.0.1:${port}` })
      await other.publish([key])
      await other.close()
    },
  },
  redisTracking: {
    make: redisTracking,
    change: async (port: number, key: string) => void (await command(port, 'SET', key, 'v')),
  },
}

describe.each(Object.entries(buses))('%s', (name, { make, change }) => {
  test('tells all listeners of the keys that somebody else has changed, and none that has left', async () => {
    const { url, port } = await server()
    const bus = opened(make({ url }))
    expect(bus.connected).toBe(false)
    const told = await heard(bus)
    const toldToo = await heard(bus)
    const forgotten: unknown[] = []
    const forget = await bus.subscribe((keys) => forgotten.push(keys))
    expect(bus.connected).toBe(true)
    forget()
    await change(port, 'a')
    await until(() => told.length > 0 && toldToo.length > 0)
    expect(told).toEqual([['a']])
    expect(toldToo).toEqual([['a']])
    expect(forgotten).toEqual([])
  })

  test('a key comes as it was written', async () => {
    const { url, port } = await server()
    const told = await heard(opened(make({ url })))
    const keys = ['\u0000', 'a\r\nb', '"\\', '😀é', ' ', '*?[x]', 'k'.repeat(1_000)]
    for (const key of keys) await change(port, key)
    await until(() => told.flat().length === keys.length)
    expect(told.flat()).toEqual(keys)
  })

  test('a listener that throws keeps nobody from being told, and is reported', async () => {
    const { url, port } = await server()
    const bus = opened(make({ url }))
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    await bus.subscribe((keys) => {
      if (keys?.[0] === 'a') throw new Error('mine')
    })
    const told = await heard(bus)
    await change(port, 'a')
    await until(() => told.length > 0)
    await change(port, 'b')
    await until(() => told.length > 1)
    expect(await warned).toMatchObject({ detail: expect.stringContaining('mine') })
    expect(told).toEqual([['a'], ['b']])
  })

  test('close is idempotent, tells "anything", and refuses what comes after it', async () => {
    const { url } = await server()
    const bus = make({ url })
    const told = await heard(bus)
    await Promise.all([bus.close(), bus.close()])
    expect(told).toEqual([undefined])
    expect(bus.connected).toBe(false)
    const closed = { code: 'ERR_CACHE_CLOSED' }
    await expect((async () => bus.publish(['a']))()).rejects.toMatchObject(closed)
    await expect(bus.subscribe(() => {})).rejects.toMatchObject(closed)
  })

  test('close ends what is under way, also a search for a server', async () => {
    const bus = make({ url: `redis://127.0.0.1:${await freePort()}`, ...short })
    const subscribing = bus.subscribe(() => {})
    const outcome = expect(subscribing).rejects.toHaveProperty('code')
    await bus.close()
    await outcome
    expect(bus.connected).toBe(false)
  })

  test('a process that has closed its bus ends', async () => {
    const { url } = await server()
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

  test('where no server answers, subscribe rejects, and listening can begin later', async () => {
    const port = await freePort()
    const bus = opened(make({ url: `redis://127.0.0.1:${port}`, ...short }))
    const unheard: unknown[] = []
    await expect(bus.subscribe((keys) => unheard.push(keys))).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
    })
    cleanups.push((await startRedis({ port })).stop)
    await until(() => bus.subscribe(() => {}).then(Boolean, () => false))
    await change(port, 'a')
    expect(unheard).toEqual([])
  })

  test('a silent server costs subscribe its deadline', async () => {
    const { port } = await server()
    const wire = await proxy(port)
    wire.mute(true)
    const bus = opened(make({ url: wire.url, ...short }))
    await expect(bus.subscribe(() => {})).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })

  test('a silent server holds up close by a deadline at most', async () => {
    const { port } = await server()
    const wire = await proxy(port)
    const bus = make({ url: wire.url, ...short })
    const told = await heard(bus)
    wire.mute(true)
    const outcome = Promise.allSettled([bus.publish(['a']), bus.subscribe(() => {})])
    await bus.close()
    await outcome
    expect(bus.connected).toBe(false)
    expect(told.at(-1)).toBeUndefined()
  })

  test('a connection on which nothing changes is kept', async () => {
    const { port } = await server()
    const wire = await proxy(port)
    const bus = opened(make({ url: wire.url }))
    const told = await heard(bus)
    const before = wire.bytes.replies
    await sleep(2_500)
    expect(wire.bytes.replies).toBeGreaterThan(before)
    expect(wire.accepted).toBe(1)
    expect(told).toEqual([])
    expect(bus.connected).toBe(true)
  })

  test.each(['url', 'client'])('what cannot be used is refused: %s', (option) => {
    const options = { [option]: 'x' } as object
    expect(() => make(options)).toThrow(expect.objectContaining({ code: 'ERR_CACHE_CONFIG' }))
  })

  describe('a lost connection', () => {
    let server: RedisServer
    let wire: FaultProxy
    let bus: InvalidationBus
    let told: (readonly string[] | undefined)[]

    beforeEach(async () => {
      server = await startRedis()
      cleanups.push(() => server.stop())
      wire = await proxy(server.port)
      bus = opened(make({ url: wire.url, ...short }))
      told = await heard(bus)
    })

    async function hearsAgain(): Promise<void> {
      await until(() => bus.connected)
      expect(told).toEqual([undefined, undefined])
      await change(server.port, 'after')
      await until(() => told.length > 2)
      expect(told[2]).toEqual(['after'])
    }

    const ways = {
      'that is cut': async () => wire.cut(),
      'to a server that is killed and started again': async () => {
        await server.stop()
        await until(() => !bus.connected)
        server = await server.restart()
      },
      'that has become a black hole': async () => {
        wire.mute(true)
        await until(() => !bus.connected)
        wire.mute(false)
      },
      'to a server that has hung': async () => {
        server.kill('SIGSTOP')
        await until(() => !bus.connected)
        server.kill('SIGCONT')
      },
    }
    test.each(Object.entries(ways))(
      '%s: "anything" at once, and again when heard',
      async (_, way) => {
        await way()
        await until(() => told.length > 0)
        await hearsAgain()
      },
    )

    test('stays lost as long as new ones are refused', async () => {
      wire.refuse(true)
      wire.cut()
      await until(() => wire.refused > 3)
      expect(bus.connected).toBe(false)
      expect(told).toEqual([undefined])
      wire.refuse(false)
      await hearsAgain()
    })
  })

  test('a keeper of copies is left with none that is old, whatever is cut meanwhile', async () => {
    const { port } = await server()
    const [out, into] = [await proxy(port), await proxy(port)]
    const publisher = opened(make({ url: out.url, ...short }))
    const bus = opened(make({ url: into.url, ...short }))
    const keeper = new Keeper(bus, port)
    await bus.subscribe((keys) => keeper.forget(keys))
    for (let round = 0; round < 400; round++) {
      if (round % 100 === 25) into.cut()
      // What is published is lost on the way.
      out.mute(round % 40 === 0, 'requests')
      if (round % 8 === 0) {
        const key = `key:${(round / 8) % 7}`
        await command(port, 'SET', key, round)
        const sent = (async () => publisher.publish([key]))().catch(() => {})
        if (round % 40 === 0) out.cut()
        await sent
      } else await keeper.read(`key:${(round * 3) % 7}`)
    }
    await until(() => bus.connected)
    expect(keeper.hits).toBeGreaterThan(0)
    // Without a ttl: what is old now stays old.
    await until(() => keeper.isRecent())
  })

  test('a bus of another process is told', async () => {
    const { url, port } = await server()
    const program = `
      import { ${name} } from '@stowage/redis'
      const bus = ${name}({ url: '${url}' })
      await bus.subscribe((keys) => console.log(JSON.stringify(keys ?? null)))
      console.log('listening')
      process.stdin.once('end', () => bus.close()).resume()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines: string[] = []
    createInterface(child.stdout).on('line', (line) => lines.push(line))
    const exited = once(child, 'exit')
    await until(() => lines.includes('listening'))
    await change(port, 'a')
    await until(() => lines.includes('["a"]'))
    child.stdin.end()
    expect((await exited)[0]).toBe(0)
  })

  test('a replica tells once it has applied the change', async () => {
    let link: FaultProxy | undefined
    const { primary, replicas, stop } = await startReplicated({
      replicas: 1,
      replicateThrough: async (port) => {
        link = await startProxy(port)
        return link.port
      },
    })
    cleanups.push(async () => link?.stop(), stop)
    const replica = replicas[0]?.port ?? 0
    const bus = opened(make({ url: primary.url, replicas: [`127.0.0.1:${replica}`] }))
    const told = await heard(bus)
    const values: unknown[] = []
    await bus.subscribe(async () => values.push(await command(replica, 'GET', 'a')))
    values.length = 0
    link?.mute(true, 'replies')
    await command(primary.port, 'SET', 'a', 'v')
    await change(primary.port, 'a')
    await until(() => told.flat().includes('a') && values.length > 0)
    expect(values).not.toContain('v')
    const before = values.length
    link?.mute(false)
    await until(() => values.length > before && values.at(-1) === 'v')
    expect(told.flat().every((key) => key === 'a')).toBe(true)
  })

  test('listening ends with the connection to one of the servers', async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
    cleanups.push(stop)
    const wire = await proxy(replicas[0]?.port ?? 0)
    const options = { url: primary.url, replicas: [`127.0.0.1:${wire.port}`], ...short }
    const bus = opened(make(options))
    const told = await heard(bus)
    wire.refuse(true)
    wire.cut()
    await until(() => !bus.connected)
    expect(told).toEqual([undefined])
    wire.refuse(false)
    await until(() => bus.connected)
    expect(told).toEqual([undefined, undefined])
  })

  test('the primary that Sentinels name is followed', async () => {
    const replicated = await startReplicated()
    cleanups.push(replicated.stop)
    const sentinels = await startSentinels({ replicated })
    cleanups.push(sentinels.stop)
    const addresses = sentinels.addresses.map(({ host, port }) => `${host}:${port}`)
    const bus = opened(make({ sentinels: addresses, timeout: '200ms' }))
    const told = await heard(bus)
    const old = (await sentinels.currentPrimary()).port
    replicated.primary.kill('SIGKILL')
    await until(() => told.length > 0)
    const current = () => sentinels.currentPrimary().catch(() => ({ port: old }))
    await until(async () => (await current()).port !== old)
    await until(async () => {
      // Sentinels that have missed the first promotion may make another one.
      const { port } = await current()
      if (bus.connected) await change(port, 'after').catch(() => {})
      return told.flat().includes('after')
    })
  })
})

describe('redisBus: messages', () => {
  const published = async (port: number) =>
    Number(
      /cmdstat_publish:calls=(\d+)/.exec(
        String(await command(port, 'INFO', 'commandstats')),
      )?.[1] ?? 0,
    )

  test('what one bus publishes in a tick is one message, to all but itself', async () => {
    const { url, port } = await server()
    const [one, two] = [opened(redisBus({ url })), opened(redisBus({ url }))]
    const [own, told] = [await heard(one), await heard(two)]
    await Promise.all([one.publish(['a', 'b']), one.publish(['b', 'c']), one.publish([])])
    await until(() => told.length > 0)
    await two.publish(['d'])
    await until(() => own.length > 0)
    expect(told).toEqual([['a', 'b', 'c']])
    expect(own).toEqual([['d']])
    expect(await published(port)).toBe(2)
  })

  test('nothing to tell is not published', async () => {
    const { url, port } = await server()
    await opened(redisBus({ url })).publish([])
    expect(await published(port)).toBe(0)
  })

  test('what was published before close is sent', async () => {
    const { url } = await server()
    const told = await heard(opened(redisBus({ url })))
    const other = redisBus({ url })
    const sent = other.publish(['a'])
    await other.close()
    await sent
    await until(() => told.length > 0)
    expect(told).toEqual([['a']])
  })

  test('more than fits in a message is "anything"', async () => {
    const { url } = await server()
    const told = await heard(opened(redisBus({ url })))
    const other = opened(redisBus({ url }))
    await other.publish(Array.from({ length: 10_000 }, (_, at) => `key:${at}`))
    await other.publish(['a'])
    await until(() => told.length > 1)
    expect(told).toEqual([undefined, ['a']])
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
  ])('a message of somebody else that is none counts as "anything": %s', async (text) => {
    const { url, port } = await server()
    const told = await heard(opened(redisBus({ url })))
    await command(port, 'PUBLISH', 'stowage:invalidate', text)
    await command(port, 'PUBLISH', 'stowage:invalidate', '{"from":"php","keys":["a"]}')
    await until(() => told.length > 1)
    expect(told).toEqual([undefined, ['a']])
  })

  test('a channel is heard by those who have it', async () => {
    const { url, port } = await server()
    const told = await heard(opened(redisBus({ url, channel: 'mine' })))
    await command(port, 'PUBLISH', 'stowage:invalidate', '{"from":"x","keys":["a"]}')
    await opened(redisBus({ url, channel: 'mine', database: 3 })).publish(['b'])
    await until(() => told.length > 0)
    expect(told).toEqual([['b']])
  })

  test('what could not be published fails at once, and is made up for', async () => {
    const { url, port } = await server()
    const wire = await proxy(port)
    const told = await heard(opened(redisBus({ url })))
    const other = opened(redisBus({ url: wire.url, ...short }))
    await other.publish(['a'])
    wire.refuse(true)
    wire.cut()
    await expect(other.publish(['secret'])).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      operation: 'publish',
      message: expect.not.stringContaining('secret'),
    })
    wire.refuse(false)
    await until(() => told.length > 1)
    expect(told).toEqual([['a'], undefined])
    await other.publish(['b'])
    await until(() => told.length > 2)
    expect(told[2]).toEqual(['b'])
  })

  test('a silent server costs publish its deadline', async () => {
    const { url, port } = await server()
    const wire = await proxy(port)
    const told = await heard(opened(redisBus({ url })))
    const other = opened(redisBus({ url: wire.url, ...short }))
    await other.publish(['a'])
    wire.mute(true)
    await expect(other.publish(['b'])).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    wire.mute(false)
    await until(() => told.includes(undefined))
  })

  test('a primary that has become a replica is left, and what was published there made up for', async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 1 })
    cleanups.push(stop)
    const promoted = replicas[0]?.port ?? 0
    const endpoint = await proxy(primary.port)
    const publisher = opened(redisBus({ url: endpoint.url }))
    await publisher.publish(['a'])
    await command(promoted, 'REPLICAOF', 'NO', 'ONE')
    await command(primary.port, 'REPLICAOF', '127.0.0.1', promoted)
    const told = await heard(opened(redisBus({ url: `redis://127.0.0.1:${promoted}` })))
    await expect(publisher.publish(['b'])).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
    })
    endpoint.retarget(promoted)
    await until(() => told.length > 0)
    expect(told[0]).toBeUndefined()
  })

  test('a publisher that may not ask what its server is publishes all the same', async () => {
    const { url, port } = await server()
    await command(port, 'ACL', 'SETUSER', 'default', '-role')
    await opened(redisBus({ url })).publish(['a'])
  })

  test('in a cluster every node tells, and a node that is gone is replaced by another', async () => {
    const { nodes, addresses, stop } = await startCluster()
    cleanups.push(stop)
    const clusterNodes = addresses.map(({ host, port }) => `${host}:${port}`)
    const bus = opened(redisBus({ clusterNodes, ...short }))
    const told = await heard(bus)
    const other = opened(redisBus({ clusterNodes: clusterNodes.slice().reverse(), ...short }))
    await other.publish(['a'])
    await until(() => told.length > 0)
    nodes[0]?.kill('SIGKILL')
    await until(() => told.length > 2 && bus.connected)
    await until(async () => {
      await other.publish(['b'])
      return told.flat().includes('b')
    })
    expect(told.slice(0, 3)).toEqual([['a'], undefined, undefined])
  })
})

describe('redisTracking: what the server sees', () => {
  test('every kind of change is told, of the keys that were asked for', async () => {
    const { url } = await server()
    const prefixes = ['app:', 'app:user:', 'app:', 'session:']
    const told = await heard(opened(redisTracking({ url, prefixes })))
    const store = redis({ url })
    cleanups.push(() => store.close())
    await store.set('other:1', 'v')
    await store.set('app:user:1', 'v', 20)
    await store.increment('session:1', 1)
    await store.delete('session:1')
    // Set, then expired.
    await until(() => told.flat().filter((key) => key === 'app:user:1').length === 2)
    expect(new Set(told.flat())).toEqual(new Set(['app:user:1', 'session:1']))
  })

  test.each(['FLUSHALL', 'FLUSHDB'])('%s is "anything"', async (flush) => {
    const { url, port } = await server()
    const told = await heard(opened(redisTracking({ url })))
    await command(port, flush)
    await until(() => told.length > 0)
    expect(told).toEqual([undefined])
  })

  test('what is evicted is told', async () => {
    const { url, port } = await server(['--maxmemory-policy', 'allkeys-lru'])
    await command(port, 'SET', 'a', 'v')
    const told = await heard(opened(redisTracking({ url })))
    await command(port, 'CONFIG', 'SET', 'maxmemory', 1)
    await command(port, 'SET', 'b', 'v')
    await until(() => told.flat().includes('a'))
  })

  test('an empty prefix is all keys', async () => {
    const { url, port } = await server()
    const told = await heard(opened(redisTracking({ url, prefixes: ['', 'a'] })))
    await command(port, 'SET', 'b', 'v')
    await until(() => told.length > 0)
    expect(told).toEqual([['b']])
  })

  test('a server that knows no tracking: coded, with the remedy', async () => {
    const { url } = await server(['--rename-command', 'CLIENT', ''])
    const bus = opened(redisTracking({ url, ...short }))
    await expect(bus.subscribe(() => {})).rejects.toMatchObject({
      code: 'ERR_CACHE_UNSUPPORTED',
      retryable: false,
      message: expect.stringContaining('redisBus'),
    })
  })

  test('a server that refuses no longer is listened to, unasked where it was before', async () => {
    const { url, port } = await server()
    const allow = (sign: '+' | '-') =>
      command(port, 'ACL', 'SETUSER', 'default', `${sign}client|tracking`)
    const refused = async () => String(await command(port, 'ACL', 'LOG')).includes('tracking')
    await allow('-')
    const bus = opened(redisTracking({ url, ...short }))
    await expect(bus.subscribe(() => {})).rejects.toHaveProperty('code', 'ERR_CACHE_UNSUPPORTED')
    await allow('+')
    const told = await heard(bus)
    await allow('-')
    await command(port, 'ACL', 'LOG', 'RESET')
    await command(port, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(refused)
    expect(bus.connected).toBe(false)
    await allow('+')
    await until(() => bus.connected)
    await command(port, 'SET', 'a', 'v')
    await until(() => told.flat().includes('a'))
  })

  test('a cluster is refused', () => {
    const options = { clusterNodes: ['127.0.0.1:7000'] }
    expect(() => redisTracking(options)).toThrow(/redisBus/)
  })
})
