import type { NodeAddress } from '../node-address.ts'
import type { Configuration } from './configuration.ts'

/** A configuration older than the one known is believed when it comes so many times in a row. */
const persistent = 3

/**
 * The configuration in force. The nodes of a cluster learn of a change at different times, so an older version is
 * believed only where it persists, or where the cluster itself has been replaced.
 */
export class KnownConfiguration {
  #version = -1
  #text = ''
  #older = 0

  /**
   * Says whether `configuration` is to be put in force.
   *
   * @param replaced it comes from the endpoint, looked up again, after the known nodes gave no answer
   */
  offer({ version, nodes }: Configuration, replaced: boolean): boolean {
    this.#older = version < this.#version ? this.#older + 1 : 0
    if (this.#older > 0 && this.#older < persistent && !replaced) return false
    this.#older = 0
    this.#version = version
    const text = textOf(nodes)
    // A node replaced in place has another address, and the version stays the same.
    const differs = text !== this.#text
    this.#text = text
    return differs
  }
}

function textOf(nodes: readonly NodeAddress[]): string {
  return nodes.map(({ host, ip, port }) => `${host}|${ip ?? ''}|${port}`).join(' ')
}
