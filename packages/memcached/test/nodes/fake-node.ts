import type { Node, NodeState } from '../../src/nodes/node.ts'

/** A node without a server, which records the deletes that it is to make. */
export interface FakeNode {
  readonly name: string
  readonly node: Node
  readonly deleted: string[]
  state: NodeState
}

export function fakeNode(name: string, more: object = {}): FakeNode {
  const deleted: string[] = []
  const fake = { name, deleted, state: 'up' as NodeState }
  const node = {
    address: { host: name, port: 11211 },
    get state() {
      return fake.state
    },
    deleteLater: (key: string) => deleted.push(key),
    ...more,
  }
  return Object.assign(fake, { node: node as unknown as Node })
}
