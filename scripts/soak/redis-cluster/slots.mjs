import { setTimeout as pause } from 'node:timers/promises'
import { command } from '@stowage/test-servers'

const keysPerMigration = 3
const migrateTimeoutMs = 5_000

/** Moves slots between the masters of a cluster, a few keys at a time. */
export class SlotMover {
  moved = 0
  #ports
  /** @type {string[]} */
  #ids = []
  /** The index of the master of each slot that has moved. @type {Map<number, number>} */
  #owners = new Map()

  /** @param {readonly number[]} ports of the masters, which serve equal ranges of slots at the beginning */
  constructor(ports) {
    this.#ports = ports
  }

  /** Moves the slot of a key to the next master. @param {string} key */
  async move(key) {
    if (this.#ids.length === 0) this.#ids = await Promise.all(this.#ports.map(idOf))
    const slot = Number(await command(this.#ports[0], 'CLUSTER', 'KEYSLOT', key))
    const count = this.#ports.length
    const from = this.#owners.get(slot) ?? Math.floor((slot * count) / 16_384)
    const to = (from + 1) % count
    await this.#setSlot(to, slot, 'IMPORTING', this.#ids[from])
    await this.#setSlot(from, slot, 'MIGRATING', this.#ids[to])
    await this.#migrateKeys(slot, from, to)
    // First on the new master: otherwise the two would redirect to each other.
    const others = this.#ports.map((_, index) => index).filter((index) => index !== to)
    for (const index of [to, ...others]) await this.#setSlot(index, slot, 'NODE', this.#ids[to])
    this.#owners.set(slot, to)
    this.moved++
  }

  /** @param {number} slot @param {number} from @param {number} to */
  async #migrateKeys(slot, from, to) {
    const target = this.#ports[to]
    for (;;) {
      const reply = await command(
        this.#ports[from],
        'CLUSTER',
        'GETKEYSINSLOT',
        slot,
        keysPerMigration,
      )
      const keys = /** @type {string[]} */ (reply)
      if (keys.length === 0) return
      const args = ['127.0.0.1', target, '', 0, migrateTimeoutMs, 'KEYS', ...keys]
      await command(this.#ports[from], 'MIGRATE', ...args)
      await pause(3)
    }
  }

  /** @param {number} index @param {number} slot @param {string} state @param {string} id */
  async #setSlot(index, slot, state, id) {
    await command(this.#ports[index], 'CLUSTER', 'SETSLOT', slot, state, id)
  }
}

/** @param {number} port */
async function idOf(port) {
  return String(await command(port, 'CLUSTER', 'MYID'))
}
