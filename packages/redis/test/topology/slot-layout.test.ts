import type { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import type { Connection } from '../../src/connection/connection.ts'
import { clockNode, mayHaveMoved, readSlotLayout } from '../../src/topology/slot-layout.ts'

const nodes = ['a', 'b'].map((host) => ({ options: { host, port: 1 } }) as unknown as Redis)
const layout = (text: string, isMigrating = false) => ({ text, isMigrating })

/** A master whose reply to CLUSTER NODES is known. It counts the commands in flight. */
function masterWith(reply: () => string) {
  const counts = { begun: 0, ended: 0 }
  const client = { cluster: async (command: string) => (command === 'NODES' ? reply() : '') }
  const begin = () => counts.begun++
  const connection = {
    client,
    beginCommand: begin,
    endCommand: () => counts.ended++,
  } as unknown as Connection
  return { connection, counts }
}

test('the clock is that of the master of the first slot', () => {
  expect(clockNode([['b:1', 'a:1'], ['a:1']], nodes)).toBe(nodes[1])
  const error = 'no node of the cluster serves the first slot'
  for (const slots of [[], [undefined], [['c:1']], [['a:2']]]) {
    expect(() => clockNode(slots, nodes)).toThrow(error)
  }
})

test('the layout consists of the slots of each master', async () => {
  const a = masterWith(() =>
    [
      'id1 a:1@2 myself,master - 0 0 1 connected 0-99 200',
      'id2 b:1@2 master - 0 0 1 connected 100-199',
    ].join('\n'),
  )
  const b = masterWith(() => 'id2 b:1@2 slave,myself - 0 0 1 connected 100-199 [100->-id1]\n')
  const read = await readSlotLayout([a.connection, b.connection])
  expect(read).toEqual({ text: '0-99 200\n100-199 [100->-id1]', isMigrating: true })
  expect([a.counts, b.counts]).toEqual([
    { begun: 1, ended: 1 },
    { begun: 1, ended: 1 },
  ])
  expect(await readSlotLayout([a.connection])).toEqual({ text: '0-99 200', isMigrating: false })
})

test('an import is a migration as well', async () => {
  const { connection } = masterWith(() => 'id a:1@2 myself,master - 0 0 1 connected 0-9 [5-<-id2]')
  expect((await readSlotLayout([connection])).isMigrating).toBe(true)
})

test('without the own line, or the permission to read it, no slots are known', async () => {
  const none = masterWith(() => 'id2 b:1@2 master - 0 0 1 connected 100-199')
  const refused = masterWith(() => {
    throw new Error('NOPERM')
  })
  const unknown = { text: '\n', isMigrating: false }
  expect(await readSlotLayout([none.connection, refused.connection])).toEqual(unknown)
  expect(refused.counts).toEqual({ begun: 1, ended: 1 })
})

test.each([
  ['the layout is the same', layout('0-9'), layout('0-9'), false],
  ['it has changed', layout('0-9'), layout('0-8'), true],
  ['a slot was being migrated before', layout('0-9', true), layout('0-9'), true],
  ['a slot is being migrated after', layout('0-9'), layout('0-9', true), true],
])('whether a key may have moved: %s', (_, before, after, expected) => {
  expect(mayHaveMoved(before, after)).toBe(expected)
})
