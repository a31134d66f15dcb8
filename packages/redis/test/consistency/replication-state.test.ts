import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/connection/connection.ts'
import { readToken } from '../../src/consistency/consistency-token.ts'
import { readReplicationState } from '../../src/consistency/replication-info.ts'

const id = '0123456789abcdef0123456789abcdef01234567'

/** What a server replies, with fields of a primary without replicas. `undefined` leaves a field out. */
function infoOf(changes: Readonly<Record<string, string | number | undefined>> = {}): string {
  const fields = {
    role: 'master',
    connected_slaves: 0,
    master_replid: id,
    master_repl_offset: 42,
    repl_backlog_active: 0,
    ...changes,
  }
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}:${value}`],
  )
  return ['# Replication', ...lines, ''].join('\r\n')
}

const replica = { role: 'slave', slave_repl_offset: 40, master_link_status: 'up' }

/** A connection that replies what no server can be made to reply. Counts its calls in flight. */
function connectionWith(reply: () => Promise<string>, isConnected = true) {
  const calls: number[] = []
  let inFlight = 0
  const connection = {
    tryConnect: () => isConnected,
    beginCommand: () => inFlight++,
    endCommand: () => inFlight--,
    client: {
      info: async (section: string) => {
        expect(section).toBe('replication')
        calls.push(inFlight)
        return reply()
      },
    },
  } as unknown as Connection
  return { connection, calls, inFlight: () => inFlight }
}

const replying = (info: string) => connectionWith(async () => info).connection
const stateOf = (changes: Parameters<typeof infoOf>[0]) =>
  readReplicationState(replying(infoOf(changes)))

function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' })
}

describe('the replication state of a server', () => {
  test('of a primary without replicas', async () => {
    const expected = { isPrimary: true, replicationId: id, offset: 42, isLinked: true }
    expect(await stateOf({})).toEqual({ ...expected, hasReplicas: false })
  })

  test.each([
    [{ connected_slaves: 1, repl_backlog_active: 1 }, true],
    [{ connected_slaves: 1 }, true],
    [{ repl_backlog_active: 1 }, true],
  ])('with %o has replicas, or has had some lately: %s', async (changes, hasReplicas) => {
    expect(await stateOf(changes)).toMatchObject({ hasReplicas })
  })

  test('of a replica has its own offset, and whether it is linked', async () => {
    const expected = { isPrimary: false, replicationId: id, offset: 40 }
    expect(await stateOf(replica)).toMatchObject({ ...expected, isLinked: true })
    const unlinked = await stateOf({ ...replica, master_link_status: 'down' })
    expect(unlinked).toMatchObject({ ...expected, isLinked: false })
  })

  test.each([
    ['replication ID', { master_replid: undefined }],
    ['offset', { master_repl_offset: undefined }],
    ['number as its offset', { master_repl_offset: 'x' }],
  ])('without %s is not known', async (_, changes) => {
    expect(await stateOf(changes)).toBe('unreachable')
  })

  test.each([
    ['forbidden', replyError("NOPERM User app has no permissions to run the 'info' command")],
    ['unreachable', replyError('LOADING Redis is loading the dataset in memory')],
    ['unreachable', new Error('Connection is closed.')],
  ])('is %s if the server replies %s', async (state, error) => {
    const { connection, inFlight } = connectionWith(() => Promise.reject(error))
    expect(await readReplicationState(connection)).toBe(state)
    expect(inFlight()).toBe(0)
  })

  test('is not read without a connection', async () => {
    const { connection, calls } = connectionWith(async () => infoOf(), false)
    expect(await readReplicationState(connection)).toBe('unreachable')
    expect(calls).toEqual([])
  })

  test('is a call in flight until the reply', async () => {
    const { connection, calls, inFlight } = connectionWith(async () => infoOf())
    await readReplicationState(connection)
    expect([calls, inFlight()]).toEqual([[1], 0])
  })
})

describe('a token', () => {
  const alone = replying(infoOf())
  const withReplica = (offset: number) =>
    replying(infoOf({ connected_slaves: 1, master_repl_offset: offset }))
  const unreachable = connectionWith(async () => '', false).connection

  test('has the position of every primary, if one of them has replicas', async () => {
    const token = await readToken([withReplica(7), alone])
    expect(token).toBe('r1:0123456789ab.7:0123456789ab.42')
  })

  test('is empty if no primary has replicas', async () => {
    expect(await readToken([alone, alone])).toBe('')
  })

  test('has no position unless all are known', async () => {
    expect(await readToken([withReplica(7), unreachable])).toBe('r1')
    expect(await readToken([alone, unreachable])).toBe('r1')
  })
})
