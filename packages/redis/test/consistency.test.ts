import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { type ReadFrom, type RedisOptions, redis } from '@stowage/redis'
import { command, startProxy, startReplicated } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { readsOf, replicated, until } from './helpers.ts'
import { replicatedServers } from './replicated-servers.ts'

const servers = replicatedServers()
const { wires, ports, store, stores } = servers

/** A store whose replicas are connected and have `k`. */
async function warm(options: RedisOptions = {}, value = 'old') {
  const made = store(options)
  await made.set('k', value)
  await replicated('k', value, ...ports())
  await until('a replica answers', async () => {
    const before = await readsOf(...ports())
    await made.get('k', { consistency: 'eventual' })
    await made.get('k')
    return (await readsOf(...ports())) > before
  })
  return made
}

describe('a token of another process', () => {
  test('makes the next request see what the one before has written: 0 stale, 20 ms behind', async () => {
    for (const wire of wires) wire.delay(20, 'replies')
    const [writer, reader] = [await warm(), await warm()]
    let stale = 0
    const user = async (name: number) => {
      for (let request = 0; request < 10; request++) {
        await writer.set(`user ${name}`, `${request}`)
        const token = (await writer.consistencyToken?.()) ?? ''
        reader.observe?.(token)
        if (String(await reader.get(`user ${name}`)) !== `${request}`) stale++
        // What the visitor needs to come back.
        await sleep(40)
        if (String(await reader.get(`user ${name}`)) !== `${request}`) stale++
      }
    }
    const before = await readsOf(...ports())
    await Promise.all(Array.from({ length: 32 }, (_, name) => user(name)))
    expect(stale).toBe(0)
    expect(await readsOf(...ports())).toBeGreaterThan(before)
  })

  test('is needed for that', async () => {
    const [writer, reader] = [await warm(), await warm()]
    for (const wire of wires) wire.mute(true)
    await writer.set('k', 'new')
    expect(String(await reader.get('k'))).toBe('old')
    reader.observe?.((await writer.consistencyToken?.()) ?? '')
    expect(String(await reader.get('k'))).toBe('new')
  })

  test('is given also by a process that reads from the primary only', async () => {
    const writer = store({ replicas: [] })
    const reader = await warm()
    for (const wire of wires) wire.mute(true)
    await writer.set('k', 'new')
    expect(String(await reader.get('k'))).toBe('old')
    reader.observe?.((await writer.consistencyToken?.()) ?? '')
    expect(String(await reader.get('k'))).toBe('new')
  })

  test('passes through the caches of both, also those of a namespace', async () => {
    const [a, b] = [await warm(), await warm()]
    const [writer, reader] = [new Cache(a).namespace('n'), new Cache(b).namespace('n')]
    await writer.set('k', 'old')
    await replicated('n:k', '"old"', ...ports())
    for (const wire of wires) wire.mute(true)
    await writer.set('k', 'new')
    const token = await writer.consistencyToken()
    expect(token).toMatch(/^[\w:.]+$/)
    reader.observe(token)
    expect(await reader.get('k')).toBe('new')
  })

  test('holds for a replica that is reached only afterwards', async () => {
    const [first = 0, second = 0] = ports()
    const front = await startProxy(second)
    front.refuse(true)
    const replicas = [`127.0.0.1:${first}`, `127.0.0.1:${front.port}`]
    const writer = await warm()
    const reader = store({ replicas })
    await reader.set('own', 'v')
    await until('the first replica has it', async () => {
      const before = await readsOf(first)
      await reader.get('own')
      return (await readsOf(first)) > before
    })
    for (const wire of wires) wire.mute(true)
    await writer.set('k', 'new')
    reader.observe?.((await writer.consistencyToken?.()) ?? '')
    // What it says of itself comes no sooner than its answer to a read.
    front.delay(50)
    front.refuse(false)
    for (let read = 0; read < 300; read++) {
      expect(String(await reader.get('k'))).toBe('new')
      await sleep(2)
    }
    await reader.close()
    await front.stop()
  })

  test.each(['', 'banana', 'r1:zz.1', 'r1:abc', `r1:${'0'.repeat(12)}.`, '\u0000', 'r2:1'])(
    '%j is none and changes nothing',
    async (token) => {
      const made = await warm()
      made.observe?.(token)
      const before = await readsOf(...ports())
      await made.get('k')
      expect(await readsOf(...ports())).toBe(before + 1)
    },
  )

  test.each([
    ['from the future', 'r1:STREAM.9007199254740991'],
    ['of another stream', 'r1:0123456789ab.5'],
  ])('%s does not keep the replicas out for ever', async (_, form) => {
    const made = await warm()
    const [, stream = ''] = /:([0-9a-f]{12})/.exec((await made.consistencyToken?.()) ?? '') ?? []
    made.observe?.(form.replace('STREAM', stream))
    await until('a replica answers', async () => {
      const before = await readsOf(...ports())
      await made.get('k')
      return (await readsOf(...ports())) > before
    })
  })
})

describe('a read that says how recent it must be', () => {
  test('is answered by the primary, or as it comes, whatever the store is set to', async () => {
    for (const consistency of ['eventual', 'session', 'strong'] as const) {
      const cache = new Cache(
        await (consistency === 'strong' ? store({ consistency }) : warm({ consistency })),
      )
      await cache.set('k', 'old')
      await replicated('k', '"old"', ...ports())
      await until('the replicas are connected', async () => {
        const before = await readsOf(...ports())
        await cache.get('k', { consistency: 'eventual' })
        return (await readsOf(...ports())) > before
      })
      for (const wire of wires) wire.mute(true)
      await cache.set('k', 'new')
      expect(await cache.get('k', { consistency: 'eventual' })).toBe('old')
      expect(await cache.getMany(['k'], { consistency: 'eventual' })).toEqual(['old'])
      expect(await cache.get('k', { consistency: 'strong' })).toBe('new')
      expect(await cache.getMany(['k'], { consistency: 'session' })).toEqual(['new'])
      expect(await cache.has('k', { consistency: 'strong' })).toBe(true)
      for (const wire of wires) wire.mute(false)
    }
  })

  test('is not needed where the value decides what is written', async () => {
    const cache = new Cache(await warm({ consistency: 'eventual' }, '1'))
    for (const wire of wires) wire.mute(true)
    await Promise.all(Array.from({ length: 10 }, () => cache.update<number>('k', (n = 0) => n + 1)))
    expect(await cache.replace('k', 'x')).toBe(true)
    expect(await cache.pull('k')).toBe('x')
  })
})

describe('which server answers', () => {
  const reads = async (made: ReturnType<typeof redis>, count = 30) => {
    const [primary, replicas] = [await readsOf(servers.primary.port), await readsOf(...ports())]
    for (let read = 0; read < count; read++) await made.get('k')
    return {
      primary: (await readsOf(servers.primary.port)) - primary,
      replicas: (await readsOf(...ports())) - replicas,
    }
  }

  test.each([
    ['primary', { primary: 30, replicas: 0 }],
    ['primaryPreferred', { primary: 30, replicas: 0 }],
    ['replicaPreferred', { primary: 0, replicas: 30 }],
    ['replica', { primary: 0, replicas: 30 }],
    ['any', { primary: 10, replicas: 20 }],
  ] as const)('%s', async (readFrom, expected) => {
    const made = store({ readFrom })
    await made.set('k', 'v')
    await replicated('k', 'v', ...ports())
    await until('it is settled who answers', async () => {
      const seen = await reads(made)
      return JSON.stringify(seen) === JSON.stringify(expected)
    })
  })

  test('nearest: not the one that is farther', async () => {
    const slow = await startProxy(ports()[0] ?? 0)
    slow.delay(15)
    const made = store({ readFrom: 'nearest', replicas: [`127.0.0.1:${slow.port}`] })
    await made.set('k', 'v')
    await until('the primary answers all', async () => (await reads(made)).replicas === 0)
    await made.close()
    await slow.stop()
  })

  test('banana is refused with the choices', () => {
    expect(() => store({ readFrom: 'banana' as ReadFrom })).toThrow(
      /readFrom must be one of primary, /,
    )
  })
})

describe('a replica', () => {
  test('that has been promoted is passed over, and answers again once it follows', async () => {
    const made = await warm()
    const [first = 0] = ports()
    const [, host, port] = (await command(first, 'ROLE')) as [string, string, number]
    await command(first, 'REPLICAOF', 'NO', 'ONE')
    await until('nobody asks it', async () => {
      const before = await readsOf(first)
      for (let read = 0; read < 4; read++) await made.get('k')
      return (await readsOf(first)) === before
    })
    await command(first, 'REPLICAOF', host, port)
    await until('it is asked again', async () => {
      const before = await readsOf(first)
      for (let read = 0; read < 4; read++) await made.get('k')
      return (await readsOf(first)) > before
    })
  })

  test('behind a name is asked over a new connection after a while, and no call notices', async () => {
    const [first = 0, second = 0] = ports()
    const front = await startProxy(first)
    const made = await warm({ replicas: [`localhost:${front.port}`], renewReplicasAfter: '200ms' })
    front.retarget(second)
    await until('the new one is used', async () => {
      const before = await readsOf(second)
      for (let read = 0; read < 5; read++) expect(String(await made.get('k'))).toBe('old')
      return (await readsOf(second)) > before
    })
    await made.close()
    await front.stop()
  })

  test('whose connection is being replaced is waited for by close', async () => {
    const [first, second] = servers.replicas
    const front = await startProxy(first?.port ?? 0)
    const replicas = [`localhost:${front.port}`]
    const made = await warm({ replicas, renewReplicasAfter: '200ms', timeout: '10s' })
    front.retarget(second?.port ?? 0)
    first?.kill('SIGSTOP')
    let answered = false
    const read = Promise.resolve(made.get('k')).then(() => {
      answered = true
    })
    await until('the new one is used', async () => {
      const before = await readsOf(second?.port ?? 0)
      await made.get('k', { consistency: 'strong' })
      void made.get('k')
      return (await readsOf(second?.port ?? 0)) > before
    })
    setTimeout(() => first?.kill('SIGCONT'), 50)
    await made.close()
    expect(answered).toBe(true)
    await read
    await front.stop()
  })

  test('gets as many connections as asked for', async () => {
    const [first = 0] = ports()
    const front = await startProxy(first)
    await warm({ replicas: [`127.0.0.1:${front.port}`], replicaConnections: 3 })
    await until('there are three', () => front.accepted === 3)
    await stores.pop()?.close()
    await front.stop()
  })
})

test('replicas answer while the primary is away, with what this process knows they have', async () => {
  const others = await startReplicated()
  try {
    const replicas = others.replicas.map(({ port }) => `127.0.0.1:${port}`)
    const made = redis({ url: others.primary.url, replicas, timeout: '400ms' })
    stores.push(made)
    await made.set('k', 'v')
    const all = others.replicas.map(({ port }) => port)
    await until('a replica answers', async () => {
      const before = await readsOf(...all)
      await made.get('k')
      return (await readsOf(...all)) > before
    })
    others.primary.kill('SIGKILL')
    await expect(made.set('other', 'v')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    for (let read = 0; read < 20; read++) expect(String(await made.get('k'))).toBe('v')
  } finally {
    await others.stop()
  }
})

describe('where the user may not ask how far a replica is', () => {
  test('a time is waited, and nothing is stale before', async () => {
    const all = [servers.primary.port, ...ports()]
    const rules = ['on', 'nopass', '~*', '+@all', '-info', '-role']
    await Promise.all(all.map((port) => command(port, 'ACL', 'SETUSER', 'app', 'reset', ...rules)))
    const url = servers.primary.url.replace('redis://', 'redis://app:x@')
    const made = store({ url, assumedLag: '300ms' })
    for (const wire of wires) wire.delay(20, 'replies')
    for (let round = 0; round < 50; round++) {
      await made.set('k', `${round}`)
      expect(String(await made.get('k'))).toBe(`${round}`)
    }
    await until('a replica answers', async () => {
      const before = await readsOf(...ports())
      await made.get('k')
      return (await readsOf(...ports())) > before
    })
    const other = store({ url, assumedLag: '300ms' })
    await other.get('k')
    await made.set('k', 'new')
    other.observe?.((await made.consistencyToken?.()) ?? '')
    expect(String(await other.get('k'))).toBe('new')
  })
})
