import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { backends, expected, readThrough } from './drivers.mjs'
import { cacheOn, expectedFeatures, readFeatures } from './features.mjs'
import { changedKeys, layoutProblem } from './layout-changes.mjs'
import { layouts } from './layouts.mjs'
import { writtenAt } from './repeatable.mjs'
import { fromText } from './text.mjs'

const folder = fileURLToPath(new URL('.', import.meta.url))
const changesets = fileURLToPath(new URL('../../.changeset', import.meta.url))
const versions = readdirSync(folder)
  .filter((name) => /^\d+\.\d+$/.test(name))
  .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
const latest = versions.at(-1) as string
const fixture = (version: string, name: string) =>
  JSON.parse(readFileSync(join(folder, version, `${name}.json`), 'utf8'))

const { lmdb, redis, memcached, dynamodb } = backends
/** Drivers that list keys. On the others, keys contain the id of a generation. */
const listing = {
  ...{ lmdb, redis },
  memory: async (clock: ManualClock) => ({ store: memory({ clock }), close: async () => {} }),
}

// What processes of the last release read while the new one is deployed.
describe.each(Object.entries(layouts))('this version stores, for %s,', (name, write) => {
  test(`what version ${latest} stores`, async () => {
    const keys = changedKeys(fixture(latest, name), await write())
    expect(layoutProblem(name, latest, keys, changesets)).toBe(undefined)
  })
})

describe.each(versions)('data of version %s', (version) => {
  test.each(Object.entries(backends))('is read by the driver %s', async (name, open) => {
    const backend = await open(new ManualClock(writtenAt))
    try {
      await backend.restore(fixture(version, name))
      expect(await readThrough(backend.store)).toEqual(expected)
    } finally {
      await backend.close()
    }
  })

  test.each(Object.entries(listing))(
    'is read by all features on the driver %s',
    async (_, open) => {
      const clock = new ManualClock(writtenAt)
      const { store, close } = await open(clock)
      try {
        for (const [key, text] of Object.entries(fixture(version, 'features'))) {
          await store.set(key, fromText(text))
        }
        expect(await readFeatures(cacheOn(store, clock))).toEqual(expectedFeatures)
      } finally {
        await close()
      }
    },
  )

  const notListing = Object.entries({ memcached, dynamodb })
  test.each(notListing)('is read in generations on the driver %s', async (_, open) => {
    const { store, close } = await open()
    try {
      for (const [key, text] of Object.entries(fixture(version, 'generations'))) {
        await store.set(key, fromText(text as string))
      }
      const cache = cacheOn(store)
      expect(await cache.get('1')).toBe('of the cache')
      expect(await cache.namespace('users').get('1')).toBe('current')
    } finally {
      await close()
    }
  })
})

describe('a change of the layout', () => {
  const pending = mkdtempSync(join(tmpdir(), 'stowage-changesets-'))
  afterAll(() => rmSync(pending, { recursive: true, force: true }))
  const before = fixture(latest, 'features')

  test.each([
    ['another version of a session', 'app:session:v1:', '[1,', '[2,'],
    ['another frame', 'app:json:tagged', '\x01\x01', '\x01\x05'],
    ['another kind of a compressed value', 'app:compressed:value', 'AQMB', 'AQMC'],
    [
      'another id of the key of an encrypted value',
      'app:encrypted-compressed',
      'AQQBAmsx',
      'AQQBAmsy',
    ],
  ])('is noticed: %s', (_, start, from, to) => {
    const key = Object.keys(before).find((each) => each.startsWith(start)) as string
    const text = JSON.stringify(before[key])
    const written = JSON.stringify(from).slice(1, -1)
    expect(text).toContain(written)
    const changed = JSON.parse(text.replace(written, JSON.stringify(to).slice(1, -1)))
    expect(changedKeys(before, { ...before, [key]: changed })).toEqual([key])
  })

  test('is noticed if a key is missing or new', () => {
    const { 'app:null': _, ...after } = before
    expect(changedKeys(before, { ...after, 'app:other': '1' })).toEqual(['app:null', 'app:other'])
  })

  test('fails with what to do, unless a changeset announces it', () => {
    writeFileSync(join(pending, 'a.md'), "---\n'@stowage/core': minor\n---\n\nA change.\n")
    const problem = layoutProblem('features', '0.1', ['app:null'], pending)
    expect(problem).toContain('The layout of stored data (features) is not that of version 0.1')
    expect(problem).toContain('changeset, in a paragraph that begins with "Stored data:"')
    writeFileSync(
      join(pending, 'a.md'),
      'A change.\n\nStored data: sessions have another version.\n',
    )
    expect(layoutProblem('features', '0.1', ['app:null'], pending)).toBe(undefined)
  })
})
