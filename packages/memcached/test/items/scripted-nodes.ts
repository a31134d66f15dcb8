import type { Connection } from '../../src/connection/connection.ts'
import type { Failures } from '../../src/connection/pending-requests.ts'
import { Dispatcher } from '../../src/nodes/dispatcher.ts'
import type { Node } from '../../src/nodes/node.ts'
import { noBytes, type Reply, status } from '../../src/protocol/protocol.ts'
import { type FakeNode, fakeNode } from '../nodes/fake-node.ts'

/** A command, and what it was called with except for the operation. */
export type Request = readonly [command: string, ...args: unknown[]]
/** The reply to a request. An error ends the connection. A number is that of `time`. */
export type Answer = Partial<Reply> | Error | number

export const ok: Answer = {}
export const missing: Answer = { status: status.missing }
export const exists: Answer = { status: status.exists }

/** The reply with an item. */
export function item(text: string, more: Partial<Reply> = {}): Answer {
  return { value: Buffer.from(text, 'latin1'), ...more }
}

const okReply = { status: status.ok, opaque: 1, kind: 'item', isEnd: false, name: '' } as const
const noItem = { flags: 0, cas: 1n, value: noBytes, sum: 0n, ttl: undefined, isFor: () => true }
const batches = new Set(['getMany', 'storeMany', 'deleteMany'])

export interface ScriptedNodes {
  readonly dispatcher: Dispatcher
  /** What was sent, in this order. */
  readonly requests: Request[]
  readonly nodes: readonly FakeNode[]
}

/**
 * Nodes whose replies `answer` decides. A batch asks for that of each of its keys. The keys belong to the node whose name
 * they begin with, otherwise to the first one.
 */
export function scriptedNodes(
  answer: (...request: Request) => Answer | Promise<Answer>,
  { names = ['a'], hasMeta = false, itemBytes = 1_000, noMeta = undefined as unknown } = {},
): ScriptedNodes {
  const requests: Request[] = []
  const replyTo = async (...request: Request) => {
    requests.push(request)
    const found = await answer(...request)
    if (found instanceof Error) throw found
    return typeof found === 'number' ? found : { ...okReply, ...noItem, ...found }
  }
  const single =
    (command: string) =>
    async (_operation: string, ...args: unknown[]) => {
      const read = args.pop() as (reply: unknown) => unknown
      return read(await replyTo(command, ...args))
    }
  const batch =
    (command: string) =>
    async (
      _operation: string,
      list: readonly unknown[],
      read: (reply: unknown, index: number) => void,
    ): Promise<Failures | undefined> => {
      const failures = new Map<number, unknown>()
      // The end of a batch is a request as well.
      if (list.length === 0) requests.push([command])
      for (const [index, each] of list.entries()) {
        try {
          const reply = (await replyTo(command, each)) as Reply
          if (command !== 'getMany' || reply.status !== status.missing) read(reply, index)
        } catch (error) {
          failures.set(index, error)
        }
      }
      return failures.size === 0 ? undefined : failures
    }
  const singles = ['get', 'getWithTtl', 'getTtl', 'arithmetic', 'store', 'delete', 'touch']
  const connectionOf = (protocol: object) =>
    Object.fromEntries([
      ...[...singles, 'getAndTouch'].map((command) => [command, single(command)]),
      ...[...batches].map((command) => [command, batch(command)]),
      ['time', () => replyTo('time')],
      ['itemBytes', itemBytes],
      ['protocol', protocol],
    ]) as unknown as Connection
  const metaProtocol = { getWithTtl: () => {} }
  const nodes = names.map((name) => {
    const connection = connectionOf(hasMeta ? metaProtocol : {})
    const connectMeta = async () => {
      if (noMeta !== undefined) throw noMeta
      return connectionOf(metaProtocol)
    }
    return fakeNode(name, { connection, connectMeta, itemBytes })
  })
  const all: Node[] = nodes.map(({ node }) => node)
  const dispatcher = new Dispatcher({
    nodes: all,
    nodeFor: (key) => nodes.find(({ name }) => key.startsWith(name))?.node ?? all[0],
    ready: async () => {},
    close: async () => {},
  })
  return { dispatcher, requests, nodes }
}
