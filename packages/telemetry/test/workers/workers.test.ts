import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.mjs`, import.meta.url))
const stops: (() => unknown)[] = []
afterAll(async () => {
  for (const stop of stops) await stop()
})

test('the primary of a cluster serves the metrics of its workers, also of those that have ended', async () => {
  const primary = fork(program('cluster'))
  stops.push(async () => {
    primary.kill()
    await once(primary, 'exit')
  })
  const [{ port }] = await once(primary, 'message')
  const scrape = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    execFileSync('promtool', ['check', 'metrics'], { input: text })
    return text
  }
  const hits = 'stowage_cache_requests_total{cache="pages",driver="memory",result="hit"} 7\n'
  const entries = (count: number) =>
    `stowage_cache_entries{cache="pages",driver="memory"} ${count}\n`
  const both = await scrape()
  expect(both).toContain(hits)
  expect(both).toContain(entries(2))

  primary.send({ kill: 1 })
  await once(primary, 'message')
  const one = await scrape()
  expect(one).toContain(hits)
  expect(one).toContain(entries(1))
})

test('the main thread adds up the metrics of worker threads', () => {
  const output = execFileSync(process.execPath, [program('threads')], { encoding: 'utf8' })
  const misses = JSON.parse(output).find(({ labels }: { labels: object }) =>
    expect.objectContaining({ result: 'miss' }).asymmetricMatch(labels),
  )
  expect(misses.value).toBe(3)
})
