import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Collector } from '@stowage/telemetry'
import { metrics } from '@stowage/telemetry/prometheus'
import { expect, test } from 'vitest'

test('100,000 different keys leave the number of series unchanged', async () => {
  const { render, stop } = metrics({ group: (key) => key.split(':')[0] as string })
  const cache = new Cache(memory(), { name: 'pages' })
  const use = async (key: string) => {
    await cache.get(key)
    await cache.set(key, 1)
    await cache.delete(key)
  }
  await use('user:0')
  const series = render().split('\n').length
  for (let index = 1; index <= 100_000; index++) await use(`user:${index}`)
  expect(render().split('\n')).toHaveLength(series)
  stop()
})

test('groups are the labels that the application chooses, up to a limit', async () => {
  using collector = new Collector({ group: (key) => key.split(':')[0] as string, maxSeries: 3 })
  const cache = new Cache(memory(), { name: 'pages' })
  await cache.getMany(['a:1', 'a:2'])
  await cache.getMany(['a:1', 'b:1'])
  for (const group of ['b', 'c', 'd']) await cache.get(`${group}:1`)
  const misses = Array.from(collector.requests, ([{ cache, group }, { miss }]) => [
    cache,
    group,
    miss,
  ])
  expect(misses).toEqual([
    ['pages', 'a', 2],
    ['pages', 'mixed', 2],
    ['pages', 'b', 1],
    ['other', 'other', 2],
  ])
})

test('a key for which the function of the application throws is counted as the group error', async () => {
  const group = (key: string) => (key.split(':')[1] as string).toUpperCase()
  using collector = new Collector({ group })
  const cache = new Cache(memory(), { name: 'pages' })
  await cache.getMany(['user:1', 'hostile'])
  await cache.get('hostile')
  const misses = Array.from(collector.requests, ([labels, { miss }]) => [labels.group, miss])
  expect(misses).toEqual([
    ['mixed', 2],
    ['error', 1],
  ])
})

test('counts nothing after stop', async () => {
  const collector = new Collector()
  collector.stop()
  await new Cache(memory(), { name: 'pages' }).get('k')
  expect(collector.requests.size).toBe(0)
})

test('refuses unknown options', () => {
  expect(() => new Collector({ groups: () => '' } as never)).toThrow('Did you mean group?')
  expect(() => new Collector({ maxSeries: 0 })).toThrow('maxSeries')
  expect(() => new Collector({ caches: [] as never })).toThrow('caches must be a function')
})
