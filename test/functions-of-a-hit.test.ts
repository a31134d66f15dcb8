import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = new URL('../', import.meta.url)

/** Prints how many functions of our packages each hit runs. A program of its own: the packages are loaded with counters. */
const program = `
import { register } from 'node:module'
register('./scripts/lib/trace/hooks.mjs', '${root}')
const { firstCalls, record } = await import('${new URL('scripts/lib/trace/recorder.mjs', root)}')
const { Cache } = await import('@stowage/core')
const { memory } = await import('@stowage/memory')
const cache = new Cache(memory({ values: 'shared' }), { prefix: 'app:', ttl: '1h' })
const users = cache.collection('users', { load: () => 'loaded' })
await cache.setMany([['k', 1], ['l', 2]])
await cache.set('tagged', 3, { tags: ['news'] })
const hits = {
  get: () => cache.get('k'),
  getMany: () => cache.getMany(['k', 'l']),
  remember: () => cache.remember('k', {}, () => 'loaded'),
  tagged: () => cache.get('tagged'),
  collection: () => users.get(1),
  set: () => cache.set('k', 4),
}
const counts = {}
for (const [name, hit] of Object.entries(hits)) {
  await hit()
  counts[name] = firstCalls(await record(hit)).length
}
console.log(JSON.stringify(counts))
`

/** With two that read the clock, which not every read does. */
const most: Record<string, number> = {
  get: 19,
  getMany: 21,
  remember: 26,
  tagged: 42,
  collection: 34,
  set: 33,
}

// V8 inlines a hit as long as its functions are few. "npm run trace -- get --driver memory" prints them.
test('a hit in memory runs no more functions than it did', async () => {
  const args = ['--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
  const counts = Object.entries(JSON.parse(stdout) as Record<string, number>)
  expect(counts.map(([name]) => name)).toEqual(Object.keys(most))
  expect(counts.filter(([name, count]) => count > (most[name] as number))).toEqual([])
})
