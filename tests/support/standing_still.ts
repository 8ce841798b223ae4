/** How often the clock is looked at, ms. */
const INTERVAL = 50;

/**
 * Runs what a machine that stands still would spoil, for the other side goes by the time that
 * has passed: heartbeats, and leases. Where it fails, and the machine stood still meanwhile,
 * it is run again, five times in all.
 *
 * @param most For how long the machine may stand still, ms.
 * @param attempt What is run; it leaves nothing open where it fails.
 */
export async function unlessItStoodStill(
  most: number,
  attempt: () => Promise<void>,
): Promise<void> {
  for (let left = 5;; left--) {
    let [last, longest] = [performance.now(), 0];
    const look = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    };
    const timer = setInterval(look, INTERVAL);
    try {
      return await attempt();
    } catch (error) {
      look();
      if (longest < most || left === 1) throw error;
    } finally {
      clearInterval(timer);
    }
  }
}
