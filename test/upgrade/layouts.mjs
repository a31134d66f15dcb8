// What this version stores, in JSON: the items of the features, and those of each driver.
import { ManualClock, referenceStore } from '@stowage/testing'
import { backends, writeThrough } from './drivers.mjs'
import { cacheOn, useFeatures } from './features.mjs'
import { withFixedNumbers, writtenAt } from './repeatable.mjs'
import { toText } from './text.mjs'

/** By the name of the fixture. */
export const layouts = {
  features: () => writeFeatures({ scan: true }),
  // On a backend that cannot list its keys, they contain the id of a generation.
  generations: () => writeFeatures({ scan: false }, useGenerations),
  ...Object.fromEntries(Object.keys(backends).map((name) => [name, () => writeDriver(name)])),
}

async function writeFeatures({ scan }, use = useFeatures) {
  const clock = new ManualClock(writtenAt)
  const items = new Map()
  await withFixedNumbers(() => use(cacheOn(referenceStore({ clock, scan, items }), clock)))
  const texts = [...items].map(([key, { bytes }]) => [key, toText(bytes)])
  return Object.fromEntries(texts.sort())
}

async function useGenerations(cache) {
  const users = cache.namespace('users')
  await users.set('1', 'cleared')
  await users.clear()
  await users.set('1', 'current')
  await cache.set('1', 'of the cache')
}

async function writeDriver(name) {
  const backend = await backends[name](new ManualClock(writtenAt))
  try {
    await withFixedNumbers(() => writeThrough(backend.store))
    return await backend.dump()
  } finally {
    await backend.close()
  }
}
