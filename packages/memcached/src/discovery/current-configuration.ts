import type { NodeAddress } from '../node-address.ts'
import type { Configuration } from './configuration.ts'

/** An older version is accepted when it arrives at least this many times in a row. */
const minStaleReplies = 3

/**
 * The configuration in use. The nodes of a cluster receive a change at different times, so an older version is accepted
 * only if all nodes return one, in as many polls in a row as there are nodes, or if the cluster itself was replaced.
 */
export class CurrentConfiguration {
  #version = -1
  #nodeList = ''
  #staleReplies = 0
  #nodeCount = 0

  /**
   * Returns whether `configuration` changes the nodes in use.
   *
   * @param replaced it comes from the endpoint after a new lookup, because no known node replied
   */
  accept({ version, nodes }: Configuration, replaced: boolean): boolean {
    this.#staleReplies = version < this.#version ? this.#staleReplies + 1 : 0
    const requiredReplies = Math.max(minStaleReplies, this.#nodeCount)
    if (this.#staleReplies > 0 && this.#staleReplies < requiredReplies && !replaced) return false
    this.#staleReplies = 0
    this.#version = version
    this.#nodeCount = nodes.length
    const nodeList = format(nodes)
    // Compared as well as the version: a node replaced in place gets a new address under the same version.
    const hasChanged = nodeList !== this.#nodeList
    this.#nodeList = nodeList
    return hasChanged
  }
}

function format(nodes: readonly NodeAddress[]): string {
  return nodes.map(({ host, ip, port }) => `${host}|${ip ?? ''}|${port}`).join(' ')
}
