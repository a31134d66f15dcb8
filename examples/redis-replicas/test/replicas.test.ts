import {
  type FaultProxy,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { AppProcess } from './app-process.ts'
import { eventually } from './eventually.ts'
import { type Row, Visitor } from './visitor.ts'

let servers: Replicated
/** What lies between the primary and its replicas. */
const wires: FaultProxy[] = []
let app: AppProcess
let url: string

beforeAll(async () => {
  servers = await startReplicated({
    replicateThrough: async (port) => {
      const wire = await startProxy(port)
      wires.push(wire)
      return wire.port
    },
  })
  const addresses = [servers.primary, ...servers.replicas].map(({ port }) => `127.0.0.1:${port}`)
  const [REDIS_PRIMARY = '', ...replicas] = addresses
  app = new AppProcess({ REDIS_PRIMARY, REDIS_REPLICAS: replicas.join(',') })
  url = await app.url()
})

afterEach(() => {
  for (const wire of wires) {
    wire.delay(0)
    wire.mute(false)
  }
})

afterAll(async () => {
  await app?.stop()
  await servers?.stop()
  await Promise.all(wires.map((wire) => wire.stop()))
})

/** Resolves once a replica answers every reader that may ask one. */
function replicasAnswer(visitor: Visitor): Promise<Row[]> {
  return eventually(async () => {
    const rows = await visitor.read()
    return rows.filter(({ server }) => server.startsWith('Replica')).length === 4 ? rows : undefined
  })
}

test('with replicas in step every read is new, and replicas answer', async () => {
  const visitor = new Visitor(url)
  await visitor.write('in step')
  const rows = await replicasAnswer(visitor)
  expect(rows.map(({ age }) => age)).toEqual(Array(5).fill('new'))
  expect(await visitor.page()).toContain('“in step”')
})

test('with replicas behind, nobody who wrote or was told sees the past: 0 of 60', async () => {
  const visitor = new Visitor(url)
  await replicasAnswer(visitor)
  for (const wire of wires) wire.delay(300, 'replies')
  const seen: Row[] = []
  for (let round = 0; round < 20; round++) seen.push(...(await visitor.write(`note ${round}`)))
  const agesOf = (reader: string) =>
    seen.filter((row) => row.reader === reader).map((row) => row.age)
  for (const reader of ['A session', 'A strong', 'B session']) {
    expect(agesOf(reader), reader).toEqual(Array(20).fill('new'))
  }
  for (const reader of ['A eventual', 'C session']) expect(agesOf(reader), reader).toContain('old')
})

test('process B sees the write from the request on that brings the token', async () => {
  const [visitor, stranger] = [new Visitor(url), new Visitor(url)]
  await replicasAnswer(visitor)
  for (const wire of wires) wire.mute(true)
  await visitor.send('unheard of')
  expect(visitor.cookie).toMatch(/^stowage-token=r1:[0-9a-f]{12}\.\d+$/)
  const ageIn = (rows: readonly Row[]) => rows.find(({ reader }) => reader === 'B session')?.age
  expect(ageIn(await stranger.read())).toBe('old')
  expect(ageIn(await visitor.read())).toBe('new')
})

test('markup in a note is text, and an empty note is refused', async () => {
  const visitor = new Visitor(url)
  await visitor.write('<b>bold</b>')
  expect(await visitor.page()).toContain('“&lt;b&gt;bold&lt;/b&gt;”')
  expect((await visitor.post('/note', { text: ' ' })).status).toBe(422)
})

test('a replica that is killed is passed over', async () => {
  const visitor = new Visitor(url)
  await replicasAnswer(visitor)
  await servers.replicas[0]?.stop()
  for (let round = 0; round < 10; round++) {
    const rows = await visitor.write(`note ${round}`)
    expect(rows.map(({ age }) => age)).not.toContain('failed')
    expect(rows.map(({ server }) => server)).not.toContain('Replica 1')
  }
  expect(await visitor.page()).toMatch(/data-server="Replica 1" data-status="away"/)
})
