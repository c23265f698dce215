/** Tells when the event loop stood still: everything that must happen in time was late by that much. */
export function watchEventLoop(thresholdMs: number, onGap: (gapMs: number) => void): () => void {
  const intervalMs = Math.max(10, thresholdMs / 2)
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const gap = now - last - intervalMs
    last = now
    if (gap > thresholdMs) onGap(gap)
  }, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
