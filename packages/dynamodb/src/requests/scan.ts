import type { ScanInput, ScanOutput } from '@aws-sdk/client-dynamodb'
import type { Item } from '../attributes.ts'

/** Segments of the table that are read in parallel. */
const totalSegments = 4

interface Page {
  readonly segment: number
  readonly output: ScanOutput
}

/** The pages of a whole table, in the order of the replies: each segment has one request in flight. */
export async function* scanPages(
  send: (input: ScanInput) => Promise<ScanOutput>,
  input: ScanInput,
): AsyncGenerator<Item[], void, undefined> {
  const inFlight = new Map<number, Promise<Page>>()
  const request = (segment: number, ExclusiveStartKey?: Item) => {
    const position = { Segment: segment, TotalSegments: totalSegments, ConsistentRead: true }
    const start = ExclusiveStartKey && { ExclusiveStartKey }
    const page = send({ ...input, ...position, ...start }).then((output) => ({
      segment,
      output,
    }))
    // Prevents an unhandled rejection after the caller has left the loop or another segment has failed.
    page.catch(() => {})
    inFlight.set(segment, page)
  }
  for (let segment = 0; segment < totalSegments; segment++) request(segment)
  while (inFlight.size > 0) {
    const { segment, output } = await Promise.race(inFlight.values())
    inFlight.delete(segment)
    if (output.LastEvaluatedKey !== undefined) request(segment, output.LastEvaluatedKey)
    yield output.Items ?? []
  }
}
