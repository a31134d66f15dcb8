/** Returns the nodes of a list: `host:port` or `host|ip|port`. `undefined` if an entry is neither, or there is none. */
export function parseNodeList(text: string): string[] | undefined {
  const nodes = text.split(/[\s,]+/).filter(Boolean)
  return nodes.length > 0 && nodes.every(isNode) ? nodes : undefined
}

function isNode(text: string): boolean {
  const [, port] = /^[^|]+(?::|\|[^|]*\|)(\d+)$/.exec(text) ?? []
  return port !== undefined && Number(port) > 0 && Number(port) < 65_536
}
