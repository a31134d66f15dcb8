import { AppProcess, Visitor } from '@stowage/example-shared/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

const main = new URL('../dist/main.js', import.meta.url)
let app: AppProcess
let url: string

beforeAll(async () => {
  app = new AppProcess(main, { PORT: '0' })
  url = await app.url()
})

afterAll(() => app?.stop())

/** The numbers of the page: hits, misses, queries, visits. */
function statisticsOf(page: string): number[] {
  const [, text = ''] = /id="statistics">(.*?)<\/dl>/s.exec(page) ?? []
  return [...text.matchAll(/<dd>(\d+)<\/dd>/g)].map(([, digits]) => Number(digits))
}

test('loads products once, writes them through, and counts the visits of a session', async () => {
  const visitor = new Visitor(url)
  const load = async () => (await visitor.get('/')).text
  expect(statisticsOf(await load())).toEqual([0, 4, 1, 1])
  expect(statisticsOf(await load())).toEqual([4, 4, 1, 2])
  const { status } = await visitor.post('/products/1', { name: 'Lantern', price: '3100' })
  expect(status).toBe(303)
  const page = await load()
  expect(page).toContain('value="Lantern"')
  // The write was a query, and the read after it a hit.
  expect(statisticsOf(page)).toEqual([8, 4, 2, 3])
  expect((await visitor.post('/products/1', { name: '', price: '1' })).status).toBe(422)
})
