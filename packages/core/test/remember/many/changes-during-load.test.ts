import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache, LoadManyContext } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from '../two-processes.ts'
import { counting } from './counting.ts'

describe('a load of several keys during which', () => {
  type Change = (cache: Cache) => Promise<unknown>
  const changes: [string, Change, unknown][] = [
    ['one is deleted', (cache) => cache.delete('1'), undefined],
    ['one is deleted by deleteMany', (cache) => cache.deleteMany(['1']), undefined],
    ['one is set', (cache) => cache.set('1', 'new'), 'new'],
    ['one is set by setMany', (cache) => cache.setMany([['1', 'new']]), 'new'],
    ['one is updated', (cache) => cache.update('1', () => 'new'), 'new'],
    ['one is added', (cache) => cache.add('1', 'new'), 'new'],
    ['one is expired by touch', (cache) => cache.touch('1', { ttl: 0 }), undefined],
  ]
  const processes = ['this process', 'another process'] as const
  const cases = changes.flatMap((change) =>
    processes.map((process) => [change[0], process, change[1], change[2]] as const),
  )

  test.each(cases)('%s by %s does not store that one', async (_, process, change, expected) => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    const loaded = gate<readonly string[]>()
    const call = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    await change(process === 'this process' ? a : b)
    const joined = a.rememberMany(['1'], {}, () => ['later'])
    await settle()
    loaded.open(['old', 'two'])
    expect(await call).toEqual(['old', 'two'])
    expect(await joined).toEqual([expected ?? 'later'])
    expect(await b.getMany(['1', '2'])).toEqual([expected ?? 'later', 'two'])
  })

  test.each(processes)('the cache is cleared by %s stores none', async (process) => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    const loaded = gate<readonly string[]>()
    const call = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    await (process === 'this process' ? a : b).clear()
    loaded.open(['old', 'old'])
    expect(await call).toEqual(['old', 'old'])
    expect(await b.getMany(['1', '2'])).toEqual([undefined, undefined])
  })

  test.each(processes)('a tag is invalidated by %s stores none', async (process) => {
    const { a, b } = twoProcesses()
    for (const options of [{ tags: ['t'] }, { tags: () => ['t'] }]) {
      const loaded = gate<readonly string[]>()
      const call = a.rememberMany(['1', '2'], options, () => loaded.opened)
      await settle()
      await (process === 'this process' ? a : b).invalidateTags('t')
      const joined = b.rememberMany(['1', '2'], options, () => ['new', 'new'])
      await settle()
      loaded.open(['old', 'old'])
      expect(await call).toEqual(['old', 'old'])
      expect(await joined).toEqual(['new', 'new'])
      await a.deleteMany(['1', '2'])
    }
  })

  test('a tag of one of them is invalidated stores the others', async () => {
    const { a, b, clock } = twoProcesses()
    await a.set('x', 1, { tags: ['t1', 't2'] })
    await clock.advance(60_000)
    const loaded = gate<readonly number[]>()
    const tags = (value: number) => [`t${value}`]
    const call = a.rememberMany(['1', '2'], { tags }, () => loaded.opened)
    await settle()
    await b.invalidateTags('t1')
    loaded.open([1, 2])
    expect(await call).toEqual([1, 2])
    expect(await b.getMany(['1', '2'])).toEqual([undefined, 2])
  })

  test('the lease of one is lost aborts only the signal of that one', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    let context: LoadManyContext<string> | undefined
    const call = a.rememberMany<string>(['1', '2'], { lease: 60 }, (_, given) => {
      context = given
      return loaded.opened
    })
    await settle()
    await b.set('1', 'new')
    await expect.poll(() => context?.of('1').signal.aborted).toBe(true)
    expect(context?.signal.aborted).toBe(false)
    await b.set('2', 'new')
    await expect.poll(() => context?.signal.aborted).toBe(true)
    loaded.open(['old', 'old'])
    expect(await call).toEqual(['old', 'old'])
    expect(await a.getMany(['1', '2'])).toEqual(['new', 'new'])
  })

  test('leases would expire renews them', async () => {
    const { a, b } = twoProcesses()
    const { asked, load } = counting()
    const slow = async (missing: readonly string[]) => {
      await sleep(5_000)
      return load(missing)
    }
    const calls = [a, b].map((cache) => cache.rememberMany(['1', '2'], { lease: '2s' }, slow))
    await Promise.all(calls)
    expect(asked).toEqual([['1', '2']])
  })
})
