import { InFlight } from '@stowage/core/driver'
import {
  type ClientSource,
  type Connection,
  InjectedConnection,
  isCluster,
} from '../connection/connection.ts'
import { clockNode, readSlotLayout, type SlotLayout } from './slot-layout.ts'
import { groupedBySlot, SingleTopology } from './topology.ts'

/** A client of the application: for a single server, or for a cluster. */
export class InjectedTopology extends SingleTopology {
  readonly #connection: InjectedConnection
  readonly #inFlight: InFlight

  constructor(source: ClientSource) {
    const inFlight = new InFlight()
    const connection = new InjectedConnection(source, inFlight)
    super(connection)
    this.#connection = connection
    this.#inFlight = inFlight
  }

  override async primaries(): Promise<readonly Connection[]> {
    const { client } = this.#connection
    if (!isCluster(client)) return [this.#connection]
    // A cluster client knows its nodes once it has executed a command.
    await client.ping()
    return client.nodes('master').map((node) => new InjectedConnection(node, this.#inFlight))
  }

  override async clockServer(): Promise<Connection> {
    const { client } = this.#connection
    if (!isCluster(client)) return this.#connection
    if (client.slots[0] === undefined) await client.ping()
    return new InjectedConnection(clockNode(client.slots, client.nodes('master')), this.#inFlight)
  }

  async slotLayout(): Promise<SlotLayout | undefined> {
    const primaries = await this.primaries()
    return isCluster(this.#connection.client) ? readSlotLayout(primaries) : undefined
  }

  override writeGroups(keys: readonly string[]): string[][] {
    return isCluster(this.#connection.client) ? groupedBySlot(keys) : super.writeGroups(keys)
  }

  override readGroups(keys: readonly string[]): string[][] {
    return this.writeGroups(keys)
  }
}
