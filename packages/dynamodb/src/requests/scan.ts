import { ScanCommand, type ScanCommandInput, type ScanOutput } from '@aws-sdk/client-dynamodb'
import type { Item } from '../attributes.ts'
import type { Command } from './request-sender.ts'

/** Parts of the table that are read at the same time. */
const segments = 4

interface Page {
  readonly segment: number
  readonly output: ScanOutput
}

/** Pages of a whole table, as they come: every segment has one under way. Items seen by nobody since are read too. */
export async function* scanPages(
  send: (command: Command) => Promise<ScanOutput>,
  input: ScanCommandInput,
): AsyncGenerator<Item[], void, undefined> {
  const underWay = new Map<number, Promise<Page>>()
  const ask = (segment: number, ExclusiveStartKey?: Item) => {
    const place = { Segment: segment, TotalSegments: segments, ConsistentRead: true }
    const start = ExclusiveStartKey && { ExclusiveStartKey }
    const page = send(new ScanCommand({ ...input, ...place, ...start })).then((output) => ({
      segment,
      output,
    }))
    // Nobody may be left to wait for it when it fails.
    page.catch(() => {})
    underWay.set(segment, page)
  }
  for (let segment = 0; segment < segments; segment++) ask(segment)
  while (underWay.size > 0) {
    const { segment, output } = await Promise.race(underWay.values())
    underWay.delete(segment)
    if (output.LastEvaluatedKey !== undefined) ask(segment, output.LastEvaluatedKey)
    yield output.Items ?? []
  }
}
