/** Does the work for all items, for some of them at once. */
export async function inTurn(items, jobs, work) {
  const results = []
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index])
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return results
}
