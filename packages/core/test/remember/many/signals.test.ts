import { Cache, type LoadManyContext } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('the signal of a caller of rememberMany', () => {
  test('rejects the call, and aborts the load only if no other caller waits', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const loaded = gate<readonly string[]>()
    let signal: AbortSignal | undefined
    const load = (_: readonly string[], context: LoadManyContext<string>) => {
      signal = context.signal
      return loaded.opened
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const first = cache.rememberMany(['1', '2'], { signal: one.signal }, load)
    await settle()
    const second = cache.remember('2', { signal: two.signal }, () => 'other')
    await settle()
    one.abort(new Error('first left'))
    await expect(first).rejects.toThrow('first left')
    expect(signal?.aborted).toBe(false)
    two.abort(new Error('second left'))
    await expect(second).rejects.toThrow('second left')
    expect(signal?.aborted).toBe(true)
    expect(await cache.rememberMany(['1', '2'], {}, () => ['a', 'b'])).toEqual(['a', 'b'])
  })

  test('that aborts before the loader is called leaves out the keys whose loads it aborted', async () => {
    const slow = gate()
    const store = wrapStore(referenceStore(), async (operation, call, [key]) => {
      if (operation === 'add' && key === '2') await slow.opened
      return call()
    })
    const caller = new AbortController()
    const { asked, load } = counting()
    const cache = new Cache(store)
    const call = cache.rememberMany(['1', '2'], { signal: caller.signal }, load)
    await settle()
    const other = cache.rememberMany(['2'], {}, load)
    await settle()
    caller.abort(new Error('left'))
    await expect(call).rejects.toThrow('left')
    slow.open()
    expect(await other).toEqual(['2 1'])
    expect(asked).toEqual([['2']])
  })

  test('may wait for many keys without a warning', async () => {
    const warnings: Error[] = []
    const listener = (warning: Error) => warnings.push(warning)
    process.on('warning', listener)
    const cache = new Cache(referenceStore({ async: true }))
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index % 50}`)
    const { asked, load } = counting()
    const options = { signal: new AbortController().signal, timeout: '10s', refresh: true } as const
    expect(await cache.rememberMany(keys, options, load)).toHaveLength(100)
    expect(asked).toEqual([keys.slice(0, 50)])
    await settle()
    process.off('warning', listener)
    expect(warnings).toEqual([])
  })

  test('that has aborted already rejects the call, and later calls do not wait for it', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const { asked, load } = counting()
    const options = { signal: AbortSignal.abort(new Error('gone')) }
    await expect(cache.rememberMany(['1'], options, load)).rejects.toThrow('gone')
    expect(asked).toEqual([])
    expect(await cache.rememberMany(['1'], {}, load)).toEqual(['1 1'])
  })
})
