// What the drivers store: the items of each backend itself, written and read without the driver.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { dynamodb } from '@stowage/dynamodb'
import { lmdb } from '@stowage/lmdb'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import { sharedDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { ManualClock } from '@stowage/testing'
import { fromText, toText } from './text.mjs'

const hour = 3_600_000
const table = 'fixtures'

/** Through each driver. `large` has more than one item of DynamoDB and memcached, `numeric` looks like a number. */
export const payloads = {
  text: '"text"',
  bytes: Buffer.from([1, 1, 0xff, 0]),
  marked: Buffer.from([2, 1, 0xff]),
  numeric: '007',
  large: Buffer.alloc(1_200_000, 'x'),
}

/** Writes the payloads, one with a ttl, and a counter. */
export async function writeThrough(store) {
  for (const [key, payload] of Object.entries(payloads)) {
    await store.set(key, payload, key === 'text' ? hour : undefined)
  }
  await store.increment('counter', 41)
  await store.increment('negative', -1)
}

/** What a store returns for them. */
export async function readThrough(store) {
  const keys = [...Object.keys(payloads), 'counter', 'negative']
  const values = await store.getMany(keys)
  return Object.fromEntries(keys.map((key, index) => [key, values[index] && toText(values[index])]))
}

export const expected = {
  ...Object.fromEntries(Object.entries(payloads).map(([key, payload]) => [key, toText(payload)])),
  counter: '41',
  negative: '-1',
}

/** Each opens a backend, and returns a store, and functions that read and write the items of the backend itself. */
export const backends = {
  async redis() {
    const server = await startRedis()
    const store = redis({ url: server.url, timeout: '10s' })
    const { Redis } = requireOf('redis')('ioredis')
    const client = new Redis(server.url)
    return {
      store,
      async dump() {
        const items = {}
        for (const key of (await client.keys('*')).sort()) {
          const expires = (await client.pttl(key)) > 0
          items[key] = { value: toText(await client.getBuffer(key)), expires }
        }
        return items
      },
      async restore(items) {
        for (const [key, { value, expires }] of Object.entries(items)) {
          await client.set(key, fromText(value), ...(expires ? ['PX', hour] : []))
        }
      },
      async close() {
        client.disconnect()
        await store.close()
        await server.stop()
      },
    }
  },

  async memcached() {
    const server = await startMemcached()
    const servers = [`127.0.0.1:${server.port}`]
    const store = memcached({ servers, oversize: 'chunk', timeout: '10s', connectTimeout: '10s' })
    const raw = (request) => memcachedRequest(server.port, request)
    return {
      store,
      async dump() {
        const listing = `${await raw('lru_crawler metadump all\r\n')}`
        const names = [...listing.matchAll(/^key=(\S+) exp=(-?\d+)/gm)].sort()
        const items = {}
        for (const [, encoded, exp] of names) {
          const name = decodeURIComponent(encoded)
          const reply = await raw(`mg ${base64(name)} b f v\r\n`)
          const [head, bytes, flags] = /^VA (\d+) f(\d+)[^\n]*\n/.exec(reply.toString('latin1'))
          const value = toText(reply.subarray(head.length, head.length + Number(bytes)))
          items[name] = { flags: Number(flags), value, expires: exp !== '-1' }
        }
        return items
      },
      async restore(items) {
        for (const [name, { flags, value, expires }] of Object.entries(items)) {
          const bytes = Buffer.from(fromText(value))
          const options = `b F${flags} T${expires ? hour / 1_000 : 0}`
          const head = `ms ${base64(name)} ${bytes.length} ${options}\r\n`
          await raw(Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n')]))
        }
      },
      close: () => Promise.all([store.close(), server.stop()]),
    }
  },

  async dynamodb(clock = new ManualClock()) {
    const { env, stop } = await sharedDynamoDB()
    Object.assign(process.env, env)
    const endpoint = env.DYNAMODB_ENDPOINT
    const { CreateTableCommand, DynamoDBClient, paginateScan, PutItemCommand } = requireOf(
      'dynamodb',
    )('@aws-sdk/client-dynamodb')
    const client = new DynamoDBClient({ endpoint })
    await client.send(
      new CreateTableCommand({
        TableName: table,
        AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    const store = dynamodb({
      table,
      endpoint,
      clock,
      chunks: true,
      timeout: '30s',
      requestTimeout: '20s',
    })
    return {
      store,
      async dump() {
        const items = []
        for await (const { Items } of paginateScan({ client }, { TableName: table })) {
          items.push(...Items.map(({ key, ...rest }) => [key.S, withTexts(rest)]))
        }
        return Object.fromEntries(items.sort())
      },
      async restore(items) {
        for (const [key, rest] of Object.entries(items)) {
          const Item = { key: { S: key }, ...withBytes(rest) }
          await client.send(new PutItemCommand({ TableName: table, Item }))
        }
      },
      async close() {
        await store.close()
        client.destroy()
        await stop()
      },
    }
  },

  /** The file, and its tables, because the pages of the file depend on the version of the library. */
  async lmdb(clock = new ManualClock()) {
    const folder = mkdtempSync(join(tmpdir(), 'stowage-fixture-'))
    const path = join(folder, 'data')
    let opened
    return {
      get store() {
        opened ??= lmdb({ path, clock })
        return opened
      },
      async dump() {
        await opened.close()
        const gzip = gzipSync(readFileSync(join(path, 'data.mdb'))).toString('base64')
        const state = JSON.parse(readFileSync(join(path, 'state.json'), 'utf8'))
        // As after a restart of the machine.
        return {
          'state.json': { ...state, bootId: 'earlier' },
          'data.mdb': { gzip },
          ...tablesOf(path),
        }
      },
      async restore(items) {
        mkdirSync(path, { mode: 0o700 })
        writeFileSync(join(path, 'state.json'), JSON.stringify(items['state.json']), {
          mode: 0o600,
        })
        const bytes = gunzipSync(Buffer.from(items['data.mdb'].gzip, 'base64'))
        writeFileSync(join(path, 'data.mdb'), bytes, { mode: 0o600 })
      },
      async close() {
        await opened?.close()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
}

/** Keys and values are binary: times, flags, and pieces of payloads. */
function tablesOf(path) {
  const { open } = requireOf('lmdb')('lmdb')
  const binary = { encoding: 'binary', keyEncoding: 'binary' }
  const file = open({ path, readOnly: true, ...binary })
  const rows = ['items', 'chunks', 'expiry', 'meta'].flatMap((table) =>
    // Of 300 chunks, two.
    [...file.openDB(table, binary).getRange({ limit: table === 'chunks' ? 2 : 1_000 })].map(
      ({ key, value }) => [`${table} ${key.toString('hex')}`, toText(value)],
    ),
  )
  file.close()
  return Object.fromEntries(rows)
}

/** Imports the client libraries of a driver. */
function requireOf(driver) {
  return createRequire(new URL(`../../packages/${driver}/package.json`, import.meta.url))
}

function withTexts(attributes) {
  const toJson = ([name, { B, ...other }]) => [name, B === undefined ? other : { B: toText(B) }]
  return Object.fromEntries(Object.entries(attributes).map(toJson))
}

function withBytes(attributes) {
  const fromJson = ([name, { B, ...other }]) => [
    name,
    B === undefined ? other : { B: Buffer.from(fromText(B)) },
  ]
  return Object.fromEntries(Object.entries(attributes).map(fromJson))
}

function base64(name) {
  return Buffer.from(name).toString('base64')
}

/** One request over a connection of its own, and the complete reply. */
function memcachedRequest(port, request) {
  return new Promise((resolve, reject) => {
    let reply = Buffer.alloc(0)
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    socket.on('error', reject).on('data', (chunk) => {
      reply = Buffer.concat([reply, chunk])
      const isComplete = /^VA /.test(reply)
        ? hasValue(reply)
        : /(?:END|HD|ERROR.*)\r\n$/.test(reply)
      if (!isComplete) return
      socket.destroy()
      resolve(reply)
    })
  })
}

function hasValue(reply) {
  const head = reply.indexOf('\n') + 1
  const [, bytes] = /^VA (\d+)/.exec(reply)
  return head > 0 && reply.length >= head + Number(bytes) + 2
}
