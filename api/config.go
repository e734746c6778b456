package api

// Config is the replicated configuration, whole. PATCH /v1/config merges the
// keys given; null there means the default.
type Config struct {
	ScoreFloor         float64  `json:"score_floor" required:"false"`
	LazyFloor          float64  `json:"lazy_floor" required:"false"`
	HysteresisGap      float64  `json:"hysteresis_gap" required:"false"`
	Cooldown           Duration `json:"cooldown" required:"false"`
	ConstraintCooldown Duration `json:"constraint_cooldown" required:"false"`
	TickInterval       Duration `json:"tick_interval" required:"false"`
	RepairDelay        Duration `json:"repair_delay" required:"false"`
	RepairPauseMax     Duration `json:"repair_pause_max" required:"false"`
	SickAfter          Duration `json:"sick_after" required:"false"`
	SwapMode           string   `json:"swap_mode" required:"false"` // place-first, evict-first
	MovesMax           int      `json:"moves_max" required:"false"`
	BalanceMovesMax    int      `json:"balance_moves_max" required:"false"`
	DrainMovesMax      int      `json:"drain_moves_max" required:"false"`
	NodeMovesInMax     int      `json:"node_moves_in_max" required:"false"`
	NodeMovesOutMax    int      `json:"node_moves_out_max" required:"false"`
	RepairMovesInMax   int      `json:"repair_moves_in_max" required:"false"`
	MoveDeadline       Duration `json:"move_deadline" required:"false"`
	QuarantineAfter    int      `json:"quarantine_after" required:"false"`
	BackoffMin         Duration `json:"backoff_min" required:"false"`
	BackoffMax         Duration `json:"backoff_max" required:"false"`
	DropGrace          Duration `json:"drop_grace" required:"false"`
	RequestTTL         Duration `json:"request_ttl" required:"false"`
	TombstoneTTL       Duration `json:"tombstone_ttl" required:"false"`
	ForcedTTL          Duration `json:"forced_ttl" required:"false"`
	MaxVoters          int      `json:"max_voters" required:"false"`
	DeadServerTimeout  Duration `json:"dead_server_timeout" required:"false"`
	WriteCopies        int      `json:"write_copies" required:"false"` // 0 = a majority of desired
	ContentSizeMax     int64    `json:"content_size_max" required:"false"`
	MoveBandwidth      int64    `json:"move_bandwidth" required:"false"` // bytes/s; 0 = the cost gate is off
	MoveHorizon        Duration `json:"move_horizon" required:"false"`
}
