import { AppProcess, eventually } from '@stowage/example-shared/testing'
import {
  type FaultProxy,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NoteVisitor, type Row } from './note-visitor.ts'

const main = new URL('../dist/main.js', import.meta.url)

let servers: Replicated
/** Between the primary and its replicas. */
const proxies: FaultProxy[] = []
let app: AppProcess
let url: string

beforeAll(async () => {
  servers = await startReplicated({
    replicateThrough: async (port) => {
      const proxy = await startProxy(port)
      proxies.push(proxy)
      return proxy.port
    },
  })
  const addresses = [servers.primary, ...servers.replicas].map(({ port }) => `127.0.0.1:${port}`)
  const [REDIS_PRIMARY = '', ...replicas] = addresses
  app = new AppProcess(main, { REDIS_PRIMARY, REDIS_REPLICAS: replicas.join(',') })
  url = await app.url()
})

afterEach(() => {
  for (const proxy of proxies) {
    proxy.delay(0)
    proxy.mute(false)
  }
})

afterAll(async () => {
  await app?.stop()
  await servers?.stop()
  await Promise.all(proxies.map((proxy) => proxy.stop()))
})

/** Waits until replicas serve all reads except the strong one. */
function waitForReplicas(visitor: NoteVisitor): Promise<Row[]> {
  return eventually(async () => {
    const rows = await visitor.read()
    return rows.filter(({ server }) => server.startsWith('Replica')).length === 4 ? rows : undefined
  })
}

test('without lag every read returns the new note, mostly from replicas', async () => {
  const visitor = new NoteVisitor(url)
  await visitor.write('no lag')
  const rows = await waitForReplicas(visitor)
  expect(rows.map(({ age }) => age)).toEqual(Array(5).fill('new'))
  expect(await visitor.page()).toContain('“no lag”')
})

test('with lag, readers with the write or its token never return the old note: 0 of 60', async () => {
  const visitor = new NoteVisitor(url)
  await waitForReplicas(visitor)
  for (const proxy of proxies) proxy.delay(300, 'replies')
  const rows: Row[] = []
  for (let round = 0; round < 20; round++) rows.push(...(await visitor.write(`note ${round}`)))
  const agesOf = (reader: string) =>
    rows.filter((row) => row.reader === reader).map((row) => row.age)
  for (const reader of ['A session', 'A strong', 'B session']) {
    expect(agesOf(reader), reader).toEqual(Array(20).fill('new'))
  }
  for (const reader of ['A eventual', 'C session']) expect(agesOf(reader), reader).toContain('old')
})

test('process B returns the new note from the first request with the token', async () => {
  const [visitor, stranger] = [new NoteVisitor(url), new NoteVisitor(url)]
  await waitForReplicas(visitor)
  for (const proxy of proxies) proxy.mute(true)
  await visitor.submit('not replicated')
  expect(visitor.cookie).toMatch(/^stowage-token=r1:[0-9a-f]{12}\.\d+$/)
  const ageIn = (rows: readonly Row[]) => rows.find(({ reader }) => reader === 'B session')?.age
  expect(ageIn(await stranger.read())).toBe('old')
  expect(ageIn(await visitor.read())).toBe('new')
})

test('escapes markup in a note, and rejects an empty note', async () => {
  const visitor = new NoteVisitor(url)
  await visitor.write('<b>bold</b>')
  expect(await visitor.page()).toContain('“&lt;b&gt;bold&lt;/b&gt;”')
  expect((await visitor.post('/note', { text: ' ' })).status).toBe(422)
})

test('rejects requests from other sites, large forms and unknown paths, each with a page', async () => {
  const visitor = new NoteVisitor(url)
  const responses = [
    await visitor.post('/note', { text: 'x' }, { 'Sec-Fetch-Site': 'cross-site' }),
    await visitor.post('/note', { text: 'x'.repeat(3_000) }),
    await visitor.get('/nowhere'),
  ]
  expect(responses.map(({ status }) => status)).toEqual([403, 413, 404])
  for (const { text } of responses) expect(text).toContain('Back to the note')
})

test('reads skip a killed replica', async () => {
  const visitor = new NoteVisitor(url)
  await waitForReplicas(visitor)
  await servers.replicas[0]?.stop()
  for (let round = 0; round < 10; round++) {
    const rows = await visitor.write(`note ${round}`)
    expect(rows.map(({ age }) => age)).not.toContain('failed')
    expect(rows.map(({ server }) => server)).not.toContain('Replica 1')
  }
  expect(await visitor.page()).toMatch(/data-server="Replica 1" data-status="down"/)
})
