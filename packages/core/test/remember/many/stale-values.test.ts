import { AsyncLocalStorage } from 'node:async_hooks'
import type { LoadManyContext } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('stale values', () => {
  const options = { ttl: '1m', staleWhileRevalidate: '1m', staleIfError: '10m' } as const

  test('are returned, and refreshed together outside the context of the request', async () => {
    const { a, clock } = twoProcesses()
    const request = new AsyncLocalStorage<string>()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(61_000)
    const seen: unknown[] = []
    const refresh = async (
      missing: readonly string[],
      { background, of, ...rest }: LoadManyContext<string>,
    ) => {
      seen.push([missing, background, request.getStore(), rest.signal.aborted])
      return missing.map((key) => `${key} new`)
    }
    // A missing key is loaded in the foreground, without waiting for the refresh.
    const call = request.run('request', () => a.rememberMany(['1', '2', '3'], options, refresh))
    expect(await call).toEqual(['1 1', '2 1', '3 new'])
    await expect.poll(() => a.getMany(['1', '2'])).toEqual(['1 new', '2 new'])
    expect(seen).toHaveLength(2)
    expect(seen).toContainEqual([['3'], false, 'request', false])
    expect(seen).toContainEqual([['1', '2'], true, undefined, false])
  })

  test('are not refreshed if another process does, and do not delay the refresh of others', async () => {
    const { a, b, clock } = twoProcesses()
    const request = new AsyncLocalStorage<string>()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(61_000)
    const loaded = gate<readonly string[]>()
    expect(await b.rememberMany(['2'], options, () => loaded.opened)).toEqual(['2 1'])
    await settle()
    const seen: unknown[] = []
    const refresh = (missing: readonly string[]) => {
      seen.push([missing, request.getStore()])
      return missing
    }
    await request.run('request', () => a.rememberMany(['1', '2'], options, refresh))
    await expect.poll(() => a.get('1')).toBe('1')
    expect(seen).toEqual([[['1'], undefined]])
    loaded.open(['other'])
    await expect.poll(() => a.get('2')).toBe('other')
  })

  test('are returned if the load fails', async () => {
    const { a, clock } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(180_000)
    const fail = async () => {
      throw new Error('database down')
    }
    expect(await a.rememberMany(['1', '2'], options, fail)).toEqual(['1 1', '2 1'])
    await expect(a.rememberMany(['1', '3'], options, fail)).rejects.toThrow('database down')
  })

  test('are given to the loader per key, with validators', async () => {
    const { a, clock } = twoProcesses()
    const fresh = { ttl: '1m', staleIfError: '10m' } as const
    await a.rememberMany(['1', '2'], fresh, (missing, context) => {
      context.of('1').setValidators({ etag: '"e1"' })
      return missing
    })
    await clock.advance(61_000)
    const values = await a.rememberMany(['1', '2', '3'], fresh, (missing, context) => {
      expect(missing).toEqual(['1', '2', '3'])
      expect(context.of('1').etag).toBe('"e1"')
      expect(context.of('2').etag).toBeUndefined()
      expect(context.of('2').stale).toBe('2')
      expect(context.of('3').stale).toBeUndefined()
      return [context.of('1').notModified(), 'two', 'three']
    })
    expect(values).toEqual(['1', 'two', 'three'])
    expect(await a.getMany(['1', '2', '3'])).toEqual(['1', 'two', 'three'])
  })

  test('are returned after the timeout of the caller', async () => {
    const { a, clock } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(180_000)
    await a.set('3', 'three')
    const never = gate<readonly string[]>()
    const limited = { ...options, timeout: 20 }
    const call = a.rememberMany(['1', '2', '3'], limited, () => never.opened)
    expect(await call).toEqual(['1 1', '2 1', 'three'])
    const missing = a.rememberMany(['1', '4'], limited, () => never.opened)
    await expect(missing).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    never.open(['late', 'late'])
  })
})
