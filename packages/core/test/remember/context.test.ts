import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Stalls } from '@stowage/test-servers'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

describe('the asynchronous context of a load', () => {
  const request = new AsyncLocalStorage<string>()
  const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const

  test('is that of the first caller, for a load that callers wait for', async () => {
    const { a: cache } = twoProcesses()
    const seen: unknown[] = []
    const load = async () => {
      await settle()
      seen.push(request.getStore())
      return 1
    }
    const call = (name: string) => request.run(name, () => cache.remember('k', options, load))
    await Promise.all([call('first'), call('second')])
    expect(seen).toEqual(['first'])
  })

  test('is that of no request, for a refresh in the background', async () => {
    const { a: cache, clock } = twoProcesses()
    await cache.remember('k', options, () => 'old')
    await clock.advance(60_000)
    const loaded = gate<unknown>()
    await request.run('request', () =>
      cache.remember('k', options, async () => {
        await settle()
        loaded.open(request.getStore())
        return 'new'
      }),
    )
    expect(await loaded.opened).toBeUndefined()
  })
})

describe('loads of two processes that need each other', () => {
  test('end after about one second', async () => {
    const { a, b } = twoProcesses()
    const stalls = new Stalls()
    const outcomes = await Promise.all([
      a.remember('x', {}, async () => {
        await settle()
        return `x and ${await a.remember('y', {}, () => 'y')}`
      }),
      b.remember('y', {}, async () => {
        await settle()
        return `y and ${await b.remember('x', {}, () => 'x')}`
      }),
    ])
    // The process that waits longer may receive the value of the other one.
    expect(outcomes).toEqual([expect.stringMatching(/^x and y/), expect.stringMatching(/^y and x/)])
    stalls.stop()
    expect(stalls.runningMs).toBeLessThan(5_000)
  })
})

test('a load that fails because its signal aborts is repeated if the key was written meanwhile', async () => {
  const { a, b } = twoProcesses()
  let loads = 0
  const call = a.remember('k', { lease: 60 }, async ({ signal }) => {
    loads++
    if (loads > 1) return 'loaded'
    return new Promise<string>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  })
  await settle()
  await b.set('k', 'written')
  expect(await call).toBe('written')
  await b.delete('k')
})

test('the caller of a failed load receives the error of the loader after the lease is free', async () => {
  const { a, b } = twoProcesses()
  const fail = () => {
    throw new Error('database down')
  }
  await expect(a.remember('k', {}, fail)).rejects.toThrow('database down')
  expect(await b.remember('k', {}, () => 'up')).toBe('up')
})

test('a call that waits for another process notices that its own process loads now, and needs its value', async () => {
  const { a, b } = twoProcesses()
  const foreign = gate<string>()
  // Which of the two calls takes the lease first depends on when they poll it.
  const keys = Array.from({ length: 30 }, (_, index) => `k${index}`)
  const held = keys.map((key) => b.remember(key, {}, () => foreign.opened))
  await settle()
  const options = { loadTimeout: 3_000 }
  const first = keys.map((key) =>
    a.remember(key, options, async () => `outer of ${await a.remember(key, {}, () => 'inner')}`),
  )
  await settle()
  const second = keys.map((key) => a.remember(key, { refresh: true }, () => 'refreshed'))
  await settle()
  await b.deleteMany(keys)
  // A load that waited for itself would end after loadTimeout.
  await Promise.all([...first, ...second])
  foreign.open('late')
  await Promise.all(held)
})

test('a key of rememberMany that another process has loaded does not delay the load of the others', async () => {
  const { a, b } = twoProcesses()
  const loads = { x: gate<string>(), z: gate<string>(), other: gate<string>() }
  const first = [
    a.remember('x', {}, () => loads.x.opened),
    a.remember('z', {}, () => loads.z.opened),
  ]
  await settle()
  const options = { loadTimeout: 3_000 }
  const many = a.rememberMany(['x', 'z'], options, (keys) => keys.map((key) => `loaded ${key}`))
  await settle()
  // The loads that the call has joined are invalidated one after the other.
  await b.delete('x')
  const foreign = b.remember('x', {}, () => loads.other.opened)
  await settle()
  loads.x.open('old')
  await sleep(20)
  loads.other.open('from b')
  await foreign
  await sleep(200)
  await b.delete('z')
  loads.z.open('old')
  expect(await many).toEqual(['from b', 'loaded z'])
  await Promise.all(first)
})
