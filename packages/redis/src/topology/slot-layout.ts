import type { Redis } from 'ioredis'
import type { Connection } from '../connection/connection.ts'

/** Which slots each master of a cluster serves. */
export interface SlotLayout {
  /** Equal for equal layouts. */
  readonly text: string
  /** Whether a slot is being migrated. */
  readonly isMigrating: boolean
}

/**
 * The master of the first slot, whose clock is that of the cluster. The client would send TIME, which names no key, to any
 * master.
 *
 * @param slots the nodes of each slot, as `host:port`, the master first
 */
export function clockNode(
  slots: readonly (readonly string[] | undefined)[],
  masters: readonly Redis[],
): Redis {
  const [name] = slots[0] ?? []
  const node = masters.find(({ options }) => `${options.host}:${options.port}` === name)
  if (node === undefined) throw new Error('no node of the cluster serves the first slot')
  return node
}

/**
 * Reads the line `myself` of https://redis.io/docs/latest/commands/cluster-nodes/. Without the permission to do so, no
 * migration is assumed.
 */
export async function readSlotLayout(masters: readonly Connection[]): Promise<SlotLayout> {
  const slots = await Promise.all(masters.map(readOwnSlots))
  const text = slots.join('\n')
  return { text, isMigrating: /\[\d+-[<>]-/.test(text) }
}

async function readOwnSlots(master: Connection): Promise<string> {
  master.beginCommand()
  try {
    const lines = String(await (master.client as Redis).cluster('NODES')).split('\n')
    const own = lines.find((line) => / (\w+,)*myself[ ,]/.test(line)) ?? ''
    return own.split(' ').slice(8).join(' ')
  } catch {
    return ''
  } finally {
    master.endCommand()
  }
}

/** Whether a key may have moved between two masters while the layout changed from one to the other. */
export function mayHaveMoved(before: SlotLayout, after: SlotLayout): boolean {
  return before.isMigrating || after.isMigrating || before.text !== after.text
}
